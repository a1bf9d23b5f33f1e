#include <fmt/format.h>
#include <reform/search.h>
#include <reform/units.h>

#include <algorithm>
#include <span>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/jobs/methods/methods.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/model/judge.h"

namespace reform {
namespace {

// So many questions are run on a cache before it makes room for their scoring. Then the first results come soon, and
// states do not pile up: with SmolLM2-135M a question runs for 28 ms, and loading the cache again takes 75.
constexpr size_t kBatch = 32;
// The states of a batch over all contexts take at most this, or there is one question to a batch.
constexpr int64_t kQuestionsBytes = 32 * kMiB;

size_t batch_of(const std::vector<Ids>& questions, std::span<const OpenContext> contexts) {
  size_t longest = 1;
  for (const Ids& ids : questions) longest = std::max(longest, ids.size());
  int64_t question_bytes = 0;
  for (const OpenContext& context : contexts) question_bytes += int64_t(longest) * context.data->meta().row_bytes;
  return size_t(std::clamp<int64_t>(kQuestionsBytes / question_bytes, 1, int64_t(kBatch)));
}

Result<std::vector<Ids>> encode_questions(const Engine::Impl& engine, const std::vector<SearchQuestion>& questions) {
  std::vector<Ids> all;
  for (const SearchQuestion& question : questions) {
    auto ids = encode_question(engine, question.text, /*n_reply_tokens=*/0);
    if (!ids.ok()) {
      std::string name = question.name;
      if (name.empty() && questions.size() > 1) name = fmt::format("question {}", all.size() + 1);
      return Status{ids.status().code, (name.empty() ? "" : name + ": ") + ids.status().message};
    }
    all.push_back(std::move(ids).value());
  }
  return all;
}

// The questions and their tokens are held until the last one is answered.
Result<Reservation> reserve_questions(Engine::Impl& engine, const std::vector<SearchQuestion>& questions,
                                      const std::vector<Ids>& ids) {
  int64_t bytes = 0;
  for (const SearchQuestion& q : questions) bytes += int64_t(sizeof(q) + q.text.size() + q.name.size());
  for (const Ids& tokens : ids) bytes += int64_t(sizeof(Ids) + tokens.size() * sizeof(Ids::value_type));
  MemoryPlan plan = in_use(engine.account);
  plan[MemoryCategory::kTokens] += bytes;
  TRY(plan.check(engine.account.cap_bytes(),
                 "that is for the questions, and the search needs more: fewer at a time, or a larger "
                 "--max-host-memory, would fit"));
  return Reservation::create(engine.account, MemoryCategory::kTokens, bytes);
}

// The result of the question that `ask` holds.
Result<SearchResult> gather(const AskMethod& method, Ask& ask, const Query& query) {
  ask.enter("gather");
  const Stopwatch watch;
  SearchResult out;
  out.question = ask.question;
  out.method = method.traits.name;
  out.question_tokens = int64_t(query.ids.size());
  TRY_ASSIGN(const Selection selection, method.select(ask, query));
  const std::vector<Span>& spans = selection.spans;
  out.confidence = selection.confidence;
  for (const Span& s : spans) (s.edge ? out.edge_tokens : out.gathered_tokens) += s.end_token - s.begin_token;
  TRY_ASSIGN(out.sources, sources_of(ask, spans));
  rank_sources(out.sources);
  out.bytes_read = ask.bytes_read();
  const double gather_ms = watch.elapsed_ms();
  out.timings.total_ms = query.run_ms + gather_ms;
  out.timings.phases_ms = {{"load_ms", ask.load_ms}, {"query_ms", query.run_ms}, {"gather_ms", gather_ms}};
  return out;
}

}  // namespace

Status search_with(const AskMethod& method, Engine& engine_handle, Store& store_handle,
                   const std::vector<std::string>& contexts, const std::vector<SearchQuestion>& questions,
                   const SearchOptions& options, const SearchCallbacks& callbacks, const CancelToken* cancel) {
  TRY(options.validate());
  Engine::Impl& engine = engine_handle.impl();
  Store::Impl& store = store_handle.impl();
  TRY_ASSIGN(const auto turn, engine.turns.take(Turns::Kind::kQuestion, cancel));
  remark_disk(engine, store);
  if (contexts.empty()) return Status{Code::kUsage, "name at least one context to search"};
  if (questions.empty()) return Status{Code::kUsage, "there is no question"};
  TRY_ASSIGN(const std::vector<Ids> ids, encode_questions(engine, questions));
  TRY_ASSIGN(const Reservation held, reserve_questions(engine, questions, ids));

  AskOptions ask_options;
  static_cast<GatherOptions&>(ask_options) = options;
  ask_options.sampling.seed = options.seed, ask_options.sampling.max_new_tokens = 0;
  const AskCallbacks ask_callbacks{
      .on_sources = {}, .on_phase = callbacks.on_phase, .on_text = {}, .on_reasoning = {}, .on_chunk = {}};
  std::string question;  // the one that is looked for now
  Ask ask{engine, question, ask_options, ask_callbacks, cancel, /*contexts=*/{}};
  Stopwatch watch;
  ask.enter("load");
  TRY_ASSIGN(ask.contexts, open_contexts(engine, *store.contexts, contexts));
  ask_options = chosen_options(ask_options, method.traits, ask.contexts, engine);
  ask.load_ms = watch.elapsed_ms();
  const auto answer_all = [&]() -> Status {
    const size_t n_batch = batch_of(ids, ask.contexts);
    for (size_t begin = 0; begin < ids.size(); begin += n_batch) {
      ask.enter("query");
      const auto batch = std::span(ids).subspan(begin, std::min(n_batch, ids.size() - begin));
      TRY_ASSIGN(const std::vector<Query> queries, run_query(method, ask, batch));
      for (size_t i = 0; i < queries.size(); ++i) {
        question = questions[begin + i].text;
        TRY_ASSIGN(SearchResult result, gather(method, ask, queries[i]));
        TRY(engine.gguf->check_unchanged());
        result.memory = memory_report(engine, &store.account);
        if (callbacks.on_result && !callbacks.on_result(result)) return {};
      }
    }
    return {};
  };
  const Status status = answer_all();
  // Eviction goes by last use, so a search that fails counts, too.
  store.contexts->note_asked(contexts);
  return judge(*engine.gguf, status);
}

Status search(Engine& engine, Store& store, const std::vector<std::string>& contexts,
              const std::vector<SearchQuestion>& questions, const SearchOptions& options,
              const SearchCallbacks& callbacks, const CancelToken* cancel) {
  TRY_ASSIGN(const AskMethod method, method_for_search(options.method));
  return search_with(method, engine, store, contexts, questions, options, callbacks, cancel);
}

Result<SearchResult> search(Engine& engine, Store& store, const std::vector<std::string>& contexts,
                            const std::string& question, const SearchOptions& options, const CancelToken* cancel) {
  SearchResult found;
  const SearchCallbacks callbacks{.on_result =
                                      [&](const SearchResult& result) {
                                        found = result;
                                        return true;
                                      },
                                  .on_phase = {}};
  TRY(search(engine, store, contexts, {{question}}, options, callbacks, cancel));
  return found;
}

}  // namespace reform
