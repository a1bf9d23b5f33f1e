// Random passages: what any choice of passages must beat. They are gather's own passages, within the same budget.
#include <algorithm>
#include <random>

#include "base/try.h"
#include "runtime/gather/best_passages.h"
#include "runtime/gather/passage_cutter.h"
#include "runtime/gather/passage_spans.h"
#include "runtime/jobs/methods/methods.h"

namespace reform {
namespace {

constexpr int64_t kReadTokens = 64 * 1024;

// A number in [0, 1), the same in every library.
double draw(std::mt19937_64& random) { return double(random() >> 11) * 0x1p-53; }

// Draws a number for each of the context's passages, in order.
Status draw_passages(Ask& ask, int32_t c, std::mt19937_64& random, BestPassages& best) {
  OpenContext& context = ask.contexts[size_t(c)];
  PassageCutter cutter(ask.engine.known_tokens());
  const int64_t n = context.n_tokens();
  int64_t begin = 0;
  const auto add = [&](int64_t end) {
    best.add({c, begin, end, draw(random), {}});
    begin = end;
  };
  for (int64_t from = 0; from < n; from += kReadTokens) {
    if (ask.cancel != nullptr && ask.cancel->cancelled()) return {Code::kCancelled, "stopped"};
    TRY_ASSIGN(const Tokens tokens, context.data->read_tokens(from, std::min(n, from + kReadTokens)));
    TRY(check_ids(context, ask.engine, tokens.ids));
    for (const int64_t end : cutter.add(tokens.ids)) add(end);
  }
  if (begin < n) add(n);
  return {};
}

Result<Selection> select_at_random(Ask& ask, const Query&) {
  const int64_t budget = ask.options.gather_tokens;
  std::mt19937_64 random(ask.options.sampling.seed);
  BestPassages best(budget);
  std::vector<int64_t> n_tokens;
  for (size_t c = 0; c < ask.contexts.size(); ++c) {
    TRY(draw_passages(ask, int32_t(c), random, best));
    n_tokens.push_back(ask.contexts[c].n_tokens());
  }
  const std::vector<ScoredPassage> ranking[] = {best.take()};
  std::vector<ChosenPassage> chosen;
  choose_passages(ranking, /*round=*/0, budget, chosen);
  Selection selection{make_passage_spans(std::move(chosen), n_tokens, /*edge_tokens=*/0)};
  for (Span& span : selection.spans) span.score = kUnscored;
  return selection;
}

}  // namespace

AskMethod random_method() {
  return {.query = query_nothing,
          .select = select_at_random,
          .answer = answer_by_recompute,
          .traits = {.name = "random",
                     .summary = "random passages; --seed draws others",
                     .options = {"--gather-tokens", "--seed"},
                     .searches = true}};
}

}  // namespace reform
