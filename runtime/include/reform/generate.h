// generate: the plain model without a context, so that the engine can be compared with others.
#pragma once

#include <reform/cancel.h>
#include <reform/engine.h>

#include <functional>
#include <string>

namespace reform {

struct SamplingOptions {
  double temperature = 0;        // 0: greedy
  int64_t top_k = 40;            // 0: all
  double top_p = 0.95;           // 1: off
  double min_p = 0.05;           // 0: off
  uint64_t seed = 0;             // of the sampler; the same seed gives the same text
  int64_t max_new_tokens = 256;  // -n; 0: generate() runs the prompt only, ask() finds the sources only
  bool ignore_end = false;       // an end token does not end the text: always max_new_tokens, for measuring

  REFORM_API Status validate() const;
};

struct GenerateOptions {
  SamplingOptions sampling;
  bool chat = false;   // apply the chat template; else raw completion, special tokens understood
  std::string system;  // chat only
};

struct GenerateResult {
  std::string text;
  std::string finish_reason;  // "stop" (an end token), "length", or "cancelled" (by the callback)
  Timings timings;
  MemoryReport memory;
};

// Pieces are whole UTF-8 characters. Return false to stop.
using TextCallback = std::function<bool(const std::string& piece)>;

REFORM_API Result<GenerateResult> generate(Engine& engine, const std::string& prompt, const GenerateOptions& options,
                                           const TextCallback& on_text = {}, const CancelToken* cancel = nullptr);

}  // namespace reform
