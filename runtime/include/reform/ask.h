// ask: answers a question from one or more contexts (phase 2: gather and recompute; arXiv 2506.01215 section 3).
#pragma once

#include <reform/generate.h>
#include <reform/store.h>

#include <functional>
#include <string>
#include <vector>

namespace reform {

struct AskOptions {
  SamplingOptions sampling;
  std::string system;            // the system text; "" leaves the model's default
  int64_t gather_tokens = 2048;  // chosen by score; edges come on top
  int64_t edge_tokens = 256;     // first and last of the text; several contexts share a quarter of the budget
  int64_t pool_window = 65;      // odd; max-pool of the scores

  REFORM_API Status validate() const;
};

// A passage the answer was made from; in document order, touching ones merged, widened to whole characters.
struct Source {
  std::string context, file;
  int64_t begin_byte = 0, end_byte = 0;  // in the original file
  bool edge = false;                     // "edge" or "match"
  double score = 0;                      // best token's; meaningless for edges
  std::string text;
};

struct AskResult {
  std::string answer;
  std::string finish_reason;  // as in generate.h
  std::vector<Source> sources;
  std::string prompt;  // as the model saw it, special tokens spelled out
  int64_t gathered_tokens = 0, edge_tokens = 0, question_tokens = 0, template_tokens = 0, recomputed_tokens = 0;
  Timings timings;
  MemoryReport memory;
};

struct AskCallbacks {
  std::function<void(const std::vector<Source>&)> on_sources;  // before the first piece of text
  std::function<void(const std::string& phase)> on_phase;      // load, query, gather, recompute, decode
  TextCallback on_text;
};

REFORM_API Result<AskResult> ask(Engine& engine, Store& store, const std::vector<std::string>& contexts,
                                 const std::string& question, const AskOptions& options,
                                 const AskCallbacks& callbacks = {}, const CancelToken* cancel = nullptr);

}  // namespace reform
