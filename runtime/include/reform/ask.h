// ask: answers a question from one or more contexts (phase 2: gather and recompute; arXiv 2506.01215 section 3).
#pragma once

#include <reform/gather.h>
#include <reform/generate.h>
#include <reform/store.h>

#include <functional>
#include <string>
#include <vector>

namespace reform {

struct AskOptions : GatherOptions {
  SamplingOptions sampling;
  std::string system;  // system text; "" leaves the model's default
  ChatOptions chat;
  int64_t chunk_tokens =
      kAuto;  // oprm: of the text in each prompt. kAuto: 2,000, or what the model's window has room for
  // oprm: without the IDK filter. The prompt does not ask for a word where a chunk lacks the answer, and none is left
  // out.
  bool all_chunks = false;

  REFORM_API Status validate() const;
};

struct AskResult {
  std::string answer;               // without the reasoning
  std::string finish_reason;        // as in generate.h; "unanswered": oprm, and no chunk has an answer
  std::string empty_because;        // as in generate.h; "unanswered" too
  std::vector<AnswerToken> tokens;  // as in generate.h
  std::string reasoning;            // this and the next two as in generate.h
  int64_t reasoning_tokens = 0;
  std::string reasoning_finish_reason;
  std::vector<Source> sources;  // what the model saw, in the order of the contexts given, then of the text
  double confidence = -1;       // as in search.h
  std::string method;           // that answered
  std::string prompt;           // as the model saw it, special tokens spelled out
  int64_t gathered_tokens = 0, edge_tokens = 0, question_tokens = 0, template_tokens = 0;
  int64_t recomputed_tokens = 0;  // the whole prompt, the sum of these four; 0 if it is not run (max_new_tokens 0)
  int64_t full_model_tokens = 0;  // run through all layers before the answer's first token
  int64_t bytes_read = 0;         // of the contexts
  Timings timings;
  MemoryReport memory;
};

struct AskCallbacks {
  std::function<void(const std::vector<Source>&)> on_sources;  // before the first piece of text
  std::function<void(const std::string& phase)> on_phase;      // load, query, gather, recompute, decode
  TextCallback on_text;                                        // the answer's
  TextCallback on_reasoning;                                   // before it
  TokenCallback on_token = {};                                 // as in generate.h
  // oprm, while it gathers: this many of the text's chunks have been run.
  std::function<void(int64_t n_done, int64_t n_chunks)> on_chunk;
};

// kNotFound: no such context. kBusy: a context is not finished. kWrongModel: a context was made with another model than
// the engine's. kUsage: the prompt and the most that may be generated do not fit into the model's window.
REFORM_API Result<AskResult> ask(Engine& engine, Store& store, const std::vector<std::string>& contexts,
                                 const std::string& question, const AskOptions& options,
                                 const AskCallbacks& callbacks = {}, const CancelToken* cancel = nullptr);

}  // namespace reform
