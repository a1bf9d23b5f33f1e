#include "runtime/gather/passage_scorer.h"

#include <algorithm>
#include <utility>

#include "base/try.h"

namespace reform {

PassageScorer::PassageScorer(Scorer& scorer, const TokenTable& table, std::span<const int32_t> query_ids,
                             OnPassage on_passage)
    : scorer_(scorer), on_passage_(std::move(on_passage)), cutter_(table), words_(table, query_ids) {}

void PassageScorer::keep_open(std::span<const int32_t> ids, std::span<const std::byte> rows) {
  open_ids_.insert(open_ids_.end(), ids.begin(), ids.end());
  open_rows_.insert(open_rows_.end(), rows.begin(), rows.end());
}

Status PassageScorer::score(std::span<const int32_t> ids, std::span<const std::byte> rows,
                            std::span<const int64_t> ends) {
  const size_t row_bytes = rows.size() / ids.size();
  const int64_t first = open_begin_;
  std::vector<int32_t> relative;
  for (const int64_t end : ends) relative.push_back(int32_t(end - first));
  TRY_ASSIGN(const auto cosines, scorer_.best_cosines(rows, relative));
  const size_t per_passage = cosines.size() / ends.size();
  for (size_t p = 0; p < ends.size(); ++p) {
    const auto begin = size_t(open_begin_ - first), n = size_t(ends[p] - open_begin_);
    on_passage_({open_begin_, ends[p], cosines.subspan(p * per_passage, per_passage),
                 words_.shares_in(ids.subspan(begin, n)), rows.subspan(begin * row_bytes, n * row_bytes)});
    open_begin_ = ends[p];
  }
  return {};
}

Status PassageScorer::add(std::span<const int32_t> ids, std::span<const std::byte> rows) {
  if (ids.empty()) return {};
  const size_t row_bytes = rows.size() / ids.size();
  const int64_t first = cutter_.n_tokens();
  const std::vector<int64_t> cuts = cutter_.add(ids);
  std::span<const int64_t> ends = cuts;
  const auto between = [&](int64_t begin, int64_t end) {
    const auto at = size_t(begin - first), n = size_t(end - begin);
    return std::pair(ids.subspan(at, n), rows.subspan(at * row_bytes, n * row_bytes));
  };
  // The open passage ends first; a cut may even lie before this piece.
  while (!ends.empty() && open_begin_ < first) {
    const int64_t end = ends.front();
    if (end > first) std::apply([&](auto... piece) { keep_open(piece...); }, between(first, end));
    const auto n = size_t(end - open_begin_);
    TRY(score(std::span(open_ids_).first(n), std::span(open_rows_).first(n * row_bytes), ends.first(1)));
    open_ids_.erase(open_ids_.begin(), open_ids_.begin() + ptrdiff_t(n));
    open_rows_.erase(open_rows_.begin(), open_rows_.begin() + ptrdiff_t(n * row_bytes));
    ends = ends.subspan(1);
  }
  while (!ends.empty()) {
    const auto some = ends.first(std::min(ends.size(), size_t(kMaxPassages)));
    const auto [own_ids, own_rows] = between(open_begin_, some.back());
    TRY(score(own_ids, own_rows, some));
    ends = ends.subspan(some.size());
  }
  const auto [rest_ids, rest_rows] = between(std::max(open_begin_, first), cutter_.n_tokens());
  keep_open(rest_ids, rest_rows);
  return {};
}

Status PassageScorer::end() {
  if (open_ids_.empty()) return {};
  const std::vector<int64_t> ends = {cutter_.n_tokens()};
  TRY(score(open_ids_, open_rows_, ends));
  open_ids_.clear(), open_rows_.clear();
  return {};
}

}  // namespace reform
