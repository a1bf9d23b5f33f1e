#include "runtime/gather/scorer.h"

#include <cstring>

#include "base/try.h"

namespace reform {

OpLimits Scorer::limits(const EmbeddingLayout& layout, int64_t n_question_rows) {
  return {.max_tokens = n_question_rows,
          .max_cols = layout.row_bytes(),
          .max_kv_len = 1,
          .n_heads = layout.n_heads,
          .n_kv_heads = 1,
          .head_dim = layout.head_dim};
}

Result<std::unique_ptr<Scorer>> Scorer::create(const Site& site, const EmbeddingLayout& layout, int64_t n_question_rows,
                                               int64_t max_block_rows, int64_t max_segments) {
  std::unique_ptr<Scorer> s(new Scorer(site, layout));
  s->n_question_rows_ = n_question_rows;
  const auto allocate = [&](Rows& rows, int64_t n_rows) -> Status {
    const auto room = [&](int64_t bytes) {
      return Buffer<std::byte>::create(site.device.account(), MemoryCategory::kIndex, copy_bytes(site.device, bytes));
    };
    const int64_t n_scales = n_rows * layout.n_heads, n_values = n_scales * layout.head_dim;
    TRY_ASSIGN(rows.values, Buffer<int8_t>::create(site.host, MemoryCategory::kIndex, n_values));
    TRY_ASSIGN(rows.scales, Buffer<float>::create(site.host, MemoryCategory::kIndex, n_scales));
    TRY_ASSIGN(rows.values_there, room(n_values));
    TRY_ASSIGN(rows.scales_there, room(n_scales * int64_t(sizeof(float))));
    return {};
  };
  TRY(allocate(s->question_, n_question_rows));
  TRY(allocate(s->block_, max_block_rows));
  const int64_t n_scores = max_segments > 0 ? max_segments * layout.n_heads * n_question_rows : max_block_rows;
  TRY_ASSIGN(s->scores_, Buffer<float>::create(site.device.account(), MemoryCategory::kIndex, n_scores));
  TRY_ASSIGN(s->host_scores_, Buffer<std::byte>::create(site.host, MemoryCategory::kIndex,
                                                        copy_bytes(site.device, n_scores * int64_t(sizeof(float)))));
  return s;
}

Result<EmbeddingRows> Scorer::for_ops(Rows& rows, std::span<const std::byte> stored) {
  const int64_t n = n_rows(stored), n_heads = layout_.n_heads, width = n_heads * layout_.head_dim;
  for (int64_t r = 0; r < n; ++r) {
    std::memcpy(rows.values.data() + r * width, layout_.values(stored, r), size_t(width));
    std::memcpy(rows.scales.data() + r * n_heads, layout_.scales(stored, r), size_t(n_heads) * sizeof(float));
  }
  TRY_ASSIGN(const std::byte* const values,
             seen_by_ops(device_, rows.values.data(), n * width, rows.values_there.data()));
  TRY_ASSIGN(const std::byte* const scales,
             seen_by_ops(device_, rows.scales.data(), n * n_heads * int64_t(sizeof(float)), rows.scales_there.data()));
  return EmbeddingRows{reinterpret_cast<const int8_t*>(values), reinterpret_cast<const float*>(scales), n, n_heads,
                       layout_.head_dim};
}

Status Scorer::set_question(std::span<const std::byte> rows) {
  CHECK(n_rows(rows) <= n_question_rows_);
  TRY_ASSIGN(question_rows_, for_ops(question_, rows));
  return {};
}

Result<std::span<const float>> Scorer::for_host(int64_t n_scores) {
  TRY_ASSIGN(const std::byte* const scores,
             seen_by_host(device_, scores_.data(), n_scores * int64_t(sizeof(float)), host_scores_.data()));
  return std::span(reinterpret_cast<const float*>(scores), size_t(n_scores));
}

Result<std::span<const float>> Scorer::score(std::span<const std::byte> rows) {
  CHECK(n_rows(rows) <= scores_.size());
  TRY_ASSIGN(const EmbeddingRows block, for_ops(block_, rows));
  ops_->score(block, question_rows_, scores_.span().first(size_t(block.n_rows)));
  return for_host(block.n_rows);
}

Result<std::span<const float>> Scorer::best_cosines(std::span<const std::byte> rows,
                                                    std::span<const int32_t> segment_ends) {
  const int64_t n_scores = int64_t(segment_ends.size()) * layout_.n_heads * question_rows_.n_rows;
  CHECK(n_scores <= scores_.size());
  TRY_ASSIGN(const EmbeddingRows block, for_ops(block_, rows));
  ops_->best_cosines(block, question_rows_, segment_ends, scores_.span().first(size_t(n_scores)));
  return for_host(n_scores);
}

}  // namespace reform
