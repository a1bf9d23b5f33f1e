#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "runtime/gather/scorer.h"
#include "runtime/jobs/ask_method.h"

namespace reform {
namespace {

// on_scores gets one score per token of the context, in order, block by block.
Status score_rows(Ask& ask, OpenContext& context, std::span<const std::byte> question_rows,
                  const std::function<void(std::span<const float>)>& on_scores) {
  const EmbeddingLayout layout{int64_t(context.settings.heads.size()), context.settings.head_dim};
  const int64_t n_question_rows = int64_t(question_rows.size()) / layout.row_bytes();
  TRY_ASSIGN(auto scorer,
             ask.engine.make_session<Scorer>(
                 Scorer::limits(layout, n_question_rows),
                 [&](const Site& site) { return make_scorer(site, layout, n_question_rows); }, ask.cancel));
  TRY(scorer->set_question(question_rows));
  return context.data->scan(kEmbeddingRows, [&](TokenRange, std::span<const std::byte> rows) -> Status {
    ask.engine.turns.pause();
    if (ask.cancel != nullptr && ask.cancel->cancelled()) return {Code::kCancelled, "stopped"};
    TRY_ASSIGN(const auto scores, scorer->score(rows));
    on_scores(scores);
    return {};
  });
}

}  // namespace

Result<std::unique_ptr<Scorer>> make_scorer(const Site& site, const EmbeddingLayout& layout, int64_t n_question_rows) {
  return Scorer::create(site, layout, n_question_rows, block_tokens_for(int32_t(layout.row_bytes())));
}

AskOptions chosen_options(AskOptions options, const MethodTraits& method, std::span<const OpenContext> contexts,
                          const Engine::Impl& engine) {
  constexpr int64_t kPaperTokens = 2048, kPaperEdge = 256;
  // A second round found 80 % more of the second hops within 512 tokens and cost other questions 1 in 100, from 1,024
  // on none (bench/results/gather.md). Fewer than 512 tokens are too few passages for two rounds.
  constexpr int64_t kTwoRoundsTokens = 512;
  const bool late = options.gather_score != "paper" &&
                    std::ranges::none_of(contexts, [](const OpenContext& c) { return c.settings.maps.empty(); });
  // Small models lose the answer among passages. Qwen2.5-Coder-0.5B answered 15 of 40 sample questions from 256 tokens,
  // 13 from 512, 9 of 30 from 1,024, and 26 of 40 from the right lines alone. Larger models were not measured.
  const int64_t n_params = engine.info.n_params;
  const int64_t late_tokens = n_params < 1'000'000'000 ? 256 : n_params < 4'000'000'000 ? 1024 : 2048;
  if (options.gather_tokens == GatherOptions::kAuto && !method.fills_window)
    options.gather_tokens = late ? late_tokens : kPaperTokens;
  options.chat = chosen_chat(std::move(options.chat), options.sampling, engine.model->shape().trained_window_tokens);
  if (options.edge_tokens == GatherOptions::kAuto) options.edge_tokens = late ? 0 : kPaperEdge;
  if (options.rounds == GatherOptions::kAuto)
    options.rounds = late && options.gather_tokens >= kTwoRoundsTokens ? 2 : 1;
  return options;
}

Result<Selection> select_spans(Ask& ask, const Query& query) {
  const std::string& score = ask.options.gather_score;
  if (score == "paper") return select_by_score(ask, query);
  const auto old = std::ranges::find_if(ask.contexts, [](const OpenContext& c) { return c.settings.maps.empty(); });
  if (old == ask.contexts.end()) return select_by_late_interaction(ask, query);
  constexpr const char* kNoMaps = "context '{}' was made with heads for the paper's score only";
  if (score == "late")
    return Status{Code::kUsage,
                  fmt::format(kNoMaps, old->name()) + "; ingest its text again to use --gather-score late"};
  if (!std::exchange(ask.told_of_score, true))
    ask.engine.remark(LogLevel::kInfo, fmt::format(kNoMaps, old->name()) + "; gathering by that score");
  return select_by_score(ask, query);
}

Result<Selection> select_by_score(Ask& ask, const Query& query) {
  const AskOptions& o = ask.options;
  if (query.states.size() != ask.contexts.size()) {
    return Status{Code::kInternal, "rows are scored by a query that has states for each context"};
  }
  const int64_t edge = edge_tokens_per_side(o.edge_tokens, o.gather_tokens, int64_t(ask.contexts.size()));
  Gatherer gatherer(o.gather_tokens, o.pool_window);
  std::vector<int64_t> n_tokens;
  for (size_t i = 0; i < ask.contexts.size(); ++i) {
    n_tokens.push_back(ask.contexts[i].n_tokens());
    gatherer.begin_context(n_tokens.back(), edge);
    TRY(score_rows(ask, ask.contexts[i], query.states[i], [&](auto scores) { gatherer.add_scores(scores); }));
    gatherer.end_context();
  }
  return Selection{make_spans(gatherer.take(), n_tokens, std::vector<int64_t>(n_tokens.size(), edge))};
}

}  // namespace reform
