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
  std::string system;            // system text; "" leaves the model's default
  int64_t gather_tokens = 2048;  // tokens chosen by score, over all contexts
  // In addition, this many first and last tokens of the text. Several contexts share a quarter of gather_tokens.
  int64_t edge_tokens = 256;
  int64_t pool_window = 65;  // each score becomes the maximum over this many tokens around it; odd

  REFORM_API Status validate() const;
};

// A passage that the model saw. Adjacent passages of one kind are merged; each is widened to whole characters.
struct Source {
  std::string context, file;
  int64_t begin_byte = 0, end_byte = 0;  // in the original file
  bool edge = false;                     // the beginning or end of the text, not chosen by score
  double score = 0;                      // of its best token, a mean of cosines in [-1, 1]; meaningless for edges
  std::string text;
};

struct AskResult {
  std::string answer;
  std::string finish_reason;    // as in generate.h
  std::vector<Source> sources;  // in the order of the contexts given, then of the text
  std::string prompt;           // as the model saw it, special tokens spelled out
  int64_t gathered_tokens = 0, edge_tokens = 0, question_tokens = 0, template_tokens = 0;
  int64_t recomputed_tokens = 0;  // the whole prompt, the sum of these four; 0 if it is not run (max_new_tokens 0)
  Timings timings;
  MemoryReport memory;
};

struct AskCallbacks {
  std::function<void(const std::vector<Source>&)> on_sources;  // before the first piece of text
  std::function<void(const std::string& phase)> on_phase;      // load, query, gather, recompute, decode
  TextCallback on_text;
};

// kNotFound: no such context. kBusy: a context is not finished. kWrongModel: a context was made with another model than
// the engine's. kUsage: the prompt and max_new_tokens do not fit into the model's window.
REFORM_API Result<AskResult> ask(Engine& engine, Store& store, const std::vector<std::string>& contexts,
                                 const std::string& question, const AskOptions& options,
                                 const AskCallbacks& callbacks = {}, const CancelToken* cancel = nullptr);

}  // namespace reform
