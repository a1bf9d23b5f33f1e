// How a question is answered: query -> select -> answer, three functions over the open contexts. REFORM is one method;
// another method has other functions. ask() does the rest for all of them: it checks the options, opens the contexts,
// names the sources, and measures.
#pragma once

#include <reform/ask.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/compress/compress.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/gather/gather.h"
#include "runtime/gather/scorer.h"
#include "runtime/jobs/open_context.h"
#include "runtime/recompute/decode.h"
#include "runtime/recompute/prompt.h"

namespace reform {

// One call of ask(), as its steps see it.
struct Ask {
  Engine::Impl& engine;
  const std::string& question;
  const AskOptions& options;
  const AskCallbacks& callbacks;
  const CancelToken* cancel = nullptr;
  std::vector<OpenContext> contexts;  // at least one
  double load_ms = 0;                 // opening contexts and loading caches; a step that loads one adds to it

  void enter(const char* phase) const {
    if (callbacks.on_phase) callbacks.on_phase(phase);
  }
};

// What select looks for.
struct Query {
  std::vector<int32_t> ids;  // the question's, without a template
  // One for each context, or none. Only the method's own select understands these bytes.
  std::vector<std::vector<std::byte>> states;
};

struct Answer {
  Prompt prompt;             // the prompt for the full model
  GenerateResult generated;  // as Decoder::run() gives it
};

// Each step may fail. A step that takes long must check Ask::cancel.
struct AskMethod {
  // `ids` are the question's and fit the model's window.
  std::function<Result<Query>(Ask&, std::span<const int32_t> ids)> query;
  // Spans in the order of Ask::contexts, then by position, without overlaps. They become the sources.
  std::function<Result<std::vector<Span>>(Ask&, const Query&)> select;
  std::function<Result<Answer>(Ask&, std::span<const Span>)> answer;
};

// REFORM's own steps (arXiv 2506.01215 section 3.2).
AskMethod reform_method();
// The question's states over each context's stored cache, since a question needs text before it. One row for each id.
Result<Query> query_states(Ask& ask, std::span<const int32_t> ids);
// The tokens of all contexts whose rows are most similar to the question's, and the edges of each context.
Result<std::vector<Span>> select_by_score(Ask& ask, const Query& query);
// The full model over the spans' tokens and the question.
Result<Answer> answer_by_recompute(Ask& ask, std::span<const Span> spans);

// Makes the Scorer that compares a question's rows with a context's, block by block.
Result<std::unique_ptr<Scorer>> make_scorer(const Site& site, const EmbeddingLayout& layout, int64_t n_question_rows);
// Loads a context's stored cache, with room for calls of up to n_call_tokens tokens over it. Once the cache is gone,
// there is room to score as many rows.
Result<Session<Compressor>> load_cache(Ask& ask, OpenContext& context, int64_t n_call_tokens);

// ask() by another method.
Result<AskResult> ask_with(const AskMethod& method, Engine& engine, Store& store,
                           const std::vector<std::string>& contexts, const std::string& question,
                           const AskOptions& options, const AskCallbacks& callbacks = {},
                           const CancelToken* cancel = nullptr);

}  // namespace reform
