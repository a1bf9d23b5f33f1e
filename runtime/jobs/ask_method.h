// How a question is answered: query -> select -> answer, three functions over the open contexts. REFORM is one method;
// another method has other functions. ask() does the rest for all of them: it checks the options, opens the contexts,
// names the sources, and measures. search() does the same without the answer.
#pragma once

#include <reform/ask.h>
#include <reform/search.h>

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

// One call of ask() or search(), as its steps see it.
struct Ask {
  Engine::Impl& engine;
  const std::string& question;  // of a search: the one that is looked for now
  const AskOptions& options;
  const AskCallbacks& callbacks;
  const CancelToken* cancel = nullptr;
  std::vector<OpenContext> contexts;  // at least one
  double load_ms = 0;                 // opening contexts and loading caches; a step that loads one adds to it
  bool told_of_score = false;         // that a context's heads allow the paper's score only; once for all questions
  int64_t full_model_tokens = 0;      // that select ran through all layers

  void enter(const char* phase) const {
    if (callbacks.on_phase) callbacks.on_phase(phase);
  }
  int64_t bytes_read() const;  // of all contexts
  ReplyCallbacks reply_callbacks() const { return {callbacks.on_text, callbacks.on_reasoning, callbacks.on_token}; }
};

using Ids = std::vector<int32_t>;

// What select looks for.
struct Query {
  Ids ids;  // the question's, without a template
  // One for each context, or none. Only the method's own select understands these bytes.
  std::vector<std::vector<std::byte>> states;
  double run_ms = 0;  // what it took, without loading caches
};

// What select chose.
struct Selection {
  // In the order of Ask::contexts, then by position, without overlaps. They become the sources.
  std::vector<Span> spans;
  double confidence = -1;  // the chance that the text answers the question; < 0: not known
};

struct Answer {
  Prompt prompt;             // the prompt for the full model
  GenerateResult generated;  // as Decoder::run() gives it
};

// What is known of a method before it runs: --help shows it, and options and contexts are checked by it.
struct MethodTraits {
  std::string name, summary;
  std::vector<std::string> options;  // those of AskOptions that not every method heeds, as the command spells them
  bool searches = false;             // select chooses passages, and needs no chat template for it
  bool from_cache = false;           // it answers from the stored cache of one context, of which every layer is needed
  bool from_pages = false;           // it looks for the context's pages; only with from_cache
  bool fills_window = false;         // without --gather-tokens it takes what the model's window has room for
};

// Each step may fail. A step that takes long must check Ask::cancel.
struct AskMethod {
  // A Query for each question. A question's ids fit the model's window. An ask has one question; a search may have
  // several, so that what is loaded serves them all.
  std::function<Result<std::vector<Query>>(Ask&, std::span<const Ids> questions)> query;
  std::function<Result<Selection>(Ask&, const Query&)> select;
  std::function<Result<Answer>(Ask&, std::span<const Span>)> answer;
  MethodTraits traits = {};
};

// The steps that several methods share are REFORM's own (arXiv 2506.01215 section 3.2).
// The questions' states over each context's stored cache, since a question needs text before it. One row for each id.
// Each cache is loaded once.
Result<std::vector<Query>> query_states(Ask& ask, std::span<const Ids> questions);
// select by Ask::options: the first of the two below, or the paper's.
Result<Selection> select_spans(Ask& ask, const Query& query);
// The passages of all contexts that fit the question best by late interaction, and the edges of each context.
Result<Selection> select_by_late_interaction(Ask& ask, const Query& query);
// The tokens of all contexts whose rows are most similar to the question's, and the edges of each context.
Result<Selection> select_by_score(Ask& ask, const Query& query);
// The full model over the spans' tokens and the question.
Result<Answer> answer_by_recompute(Ask& ask, std::span<const Span> spans);
// The two halves of that. The spans inside the chat template; no spans: template and question alone. The instruction,
// if there is one, follows the question.
Result<Prompt> make_prompt(Ask& ask, std::span<const Span> spans, const std::string& instruction = "");
Result<Prompt> make_prompt(Ask& ask, std::span<const Span> spans, const std::string& instruction,
                           const ChatOptions& chat);
// How the reply to such a prompt is drawn, and where it ends.
ReplyPlan plan_reply(const Ask& ask, const Prompt& prompt);
// The most tokens that a reply may have, reasoning and answer. 0: only the passages are wanted.
int64_t new_tokens(const Ask& ask);
// The options that make a prompt or its reply shorter, for advice. `prompt_option`: of the prompt; "": none does.
std::string size_options(const Ask& ask, const std::string& prompt_option);
// kUsage unless the model's window has so many positions beside what is to be generated. `made_of`: as the message
// counts them, as in "12 tokens to recompute"; `advice`: what makes them fewer.
Status check_positions(const Ask& ask, int64_t n_positions, const std::string& made_of, const std::string& advice);
// kUsage unless the prompt and what is to be generated fit the model's window.
// `size_option`: what makes the prompt shorter; "": only a shorter question does.
Status check_window(const Ask& ask, const Prompt& prompt, const std::string& size_option);
Result<Answer> answer_prompt(Ask& ask, Prompt prompt, const std::string& size_option);
// The tokens of a prompt that the model's window has room for, beside what is to be generated.
int64_t prompt_room(const Ask& ask);
// The query of a method that looks for nothing: the ids alone.
Result<std::vector<Query>> query_nothing(Ask& ask, std::span<const Ids> questions);

// Makes the Scorer that compares a question's rows with a context's, block by block.
Result<std::unique_ptr<Scorer>> make_scorer(const Site& site, const EmbeddingLayout& layout, int64_t n_question_rows);
// Makes one for late interaction.
Result<std::unique_ptr<Scorer>> make_late_scorer(const Site& site, const EmbeddingLayout& layout,
                                                 int64_t n_question_rows);
// Loads a context's stored cache, with room for calls of up to n_call_tokens tokens over it, of all layers if
// `run_through`. Once the cache is gone, there is room to score as many rows. beside_bytes: host memory that the caller
// holds with it; the plan counts it.
Result<Session<Compressor>> load_cache(Ask& ask, OpenContext& context, int64_t n_call_tokens, int64_t beside_bytes = 0,
                                       bool run_through = false);
// Loads what is stored of a context's cache.
Status load_slots(OpenContext& context, CacheLoader loader);
// What the store takes beside a job of the ask.
MemoryPlan store_beside(const Ask& ask);

// What every ask and search does. The options with kAuto replaced, for this method and these contexts:
AskOptions chosen_options(AskOptions options, const MethodTraits& method, std::span<const OpenContext> contexts,
                          const Engine::Impl& engine);
// The ids of a question, which fits the model's window together with the reply that `reply_options` make shorter:
Result<Ids> encode_question(const Engine::Impl& engine, const std::string& question, int64_t n_reply_tokens,
                            const std::string& reply_options = "");
// The method's query, checked:
Result<std::vector<Query>> run_query(const AskMethod& method, Ask& ask, std::span<const Ids> questions);
// The passages of the spans that select gave, in their order:
Result<std::vector<Source>> sources_of(Ask& ask, std::span<const Span> spans);

// ask() and search() by another method. A search only queries and selects.
Result<AskResult> ask_with(const AskMethod& method, Engine& engine, Store& store,
                           const std::vector<std::string>& contexts, const std::string& question,
                           const AskOptions& options, const AskCallbacks& callbacks = {},
                           const CancelToken* cancel = nullptr);
Status search_with(const AskMethod& method, Engine& engine, Store& store, const std::vector<std::string>& contexts,
                   const std::vector<SearchQuestion>& questions, const SearchOptions& options,
                   const SearchCallbacks& callbacks, const CancelToken* cancel = nullptr);

}  // namespace reform
