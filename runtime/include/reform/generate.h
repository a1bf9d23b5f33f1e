// generate: the plain model without a context, for comparing this engine with others.
#pragma once

#include <reform/cancel.h>
#include <reform/engine.h>

#include <functional>
#include <string>

namespace reform {

struct SamplingOptions {
  double temperature = 0;        // 0: always the likeliest token; the next four fields have no effect then
  int64_t top_k = 40;            // sample from the K likeliest tokens; 0: all
  double top_p = 0.95;           // sample from the likeliest tokens that together reach P; 1: all
  double min_p = 0.05;           // leave out tokens below P times the likeliest one's probability; 0: none
  uint64_t seed = 0;             // the same seed gives the same text
  int64_t max_new_tokens = 256;  // 0: generate() runs the prompt only, ask() only finds
  bool ignore_end = false;       // an end token does not end the text: always max_new_tokens, for measuring

  REFORM_API Status validate() const;
};

struct GenerateOptions {
  SamplingOptions sampling;
  bool chat =
      false;  // the prompt is one user turn in the chat template; else a raw completion that may have special tokens
  std::string system;  // with chat only
};

struct GenerateResult {
  std::string text;
  std::string finish_reason;  // "stop" (an end token), "length", or "cancelled" (by the callback)
  Timings timings;
  MemoryReport memory;
};

// Gets the text as it is generated; each piece is whole UTF-8 characters. Return false to stop.
using TextCallback = std::function<bool(const std::string& piece)>;

REFORM_API Result<GenerateResult> generate(Engine& engine, const std::string& prompt, const GenerateOptions& options,
                                           const TextCallback& on_text = {}, const CancelToken* cancel = nullptr);

}  // namespace reform
