#include "runtime/gather/scorer.h"

#include "base/try.h"

namespace reform {

Status Scorer::make_rows(Rows& rows, int64_t n_rows) {
  MemoryAccount& account = device_.account();
  const int64_t width = layout_.n_heads * layout_.head_dim;
  TRY_ASSIGN(rows.values, Buffer<int8_t>::create(account, MemoryCategory::kIndex, n_rows * width));
  TRY_ASSIGN(rows.scales, Buffer<float>::create(account, MemoryCategory::kIndex, n_rows * layout_.n_heads));
  return {};
}

Result<EmbeddingRows> Scorer::on_device(const EmbeddingRows& rows, Rows& copy) {
  if (device_.is_host()) return rows;
  const int64_t n_values = rows.n_rows * rows.n_heads * rows.head_dim, n_scales = rows.n_rows * rows.n_heads;
  CHECK(n_values <= copy.values.size() && n_scales <= copy.scales.size());
  TRY(device_.to_device(copy.values.data(), rows.values, n_values));
  TRY(device_.to_device(copy.scales.data(), rows.scales, n_scales * int64_t(sizeof(float))));
  EmbeddingRows there = rows;
  there.values = copy.values.data();
  there.scales = copy.scales.data();
  return there;
}

Result<std::unique_ptr<Scorer>> Scorer::create(Device& device, Ops& ops, const EmbeddingLayout& layout,
                                               std::span<const std::byte> question_rows, int64_t max_block_tokens) {
  std::unique_ptr<Scorer> s(new Scorer(device, ops, layout));
  const EmbeddingRows question = s->question_.split(question_rows);
  if (!device.is_host()) {
    TRY(s->make_rows(s->device_question_, question.n_rows));
    TRY(s->make_rows(s->device_block_, max_block_tokens));
    TRY_ASSIGN(s->device_scores_, Buffer<float>::create(device.account(), MemoryCategory::kIndex, max_block_tokens));
  }
  TRY_ASSIGN(s->question_rows_, s->on_device(question, s->device_question_));
  return s;
}

OpLimits Scorer::limits(const EmbeddingLayout& layout, int64_t n_question_rows) {
  return {.max_tokens = n_question_rows,
          .max_cols = layout.row_bytes(),
          .max_kv_len = 1,
          .n_heads = layout.n_heads,
          .n_kv_heads = 1,
          .head_dim = layout.head_dim};
}

int64_t Scorer::device_bytes(const EmbeddingLayout& layout, int64_t n_question_rows, int64_t max_block_tokens) {
  const int64_t row_bytes = layout.n_heads * (layout.head_dim + int64_t(sizeof(float)));
  return (n_question_rows + max_block_tokens) * row_bytes + max_block_tokens * int64_t(sizeof(float));
}

Result<std::span<const float>> Scorer::score(std::span<const std::byte> rows) {
  const EmbeddingRows block = block_.split(rows);
  scores_.resize(size_t(block.n_rows));
  TRY_ASSIGN(const EmbeddingRows stored, on_device(block, device_block_));
  if (device_.is_host()) {
    ops_.score(stored, question_rows_, scores_);
  } else {
    ops_.score(stored, question_rows_, device_scores_.span().first(scores_.size()));
    TRY(device_.to_host(scores_.data(), device_scores_.data(), block.n_rows * int64_t(sizeof(float))));
  }
  return std::span<const float>(scores_);
}

}  // namespace reform
