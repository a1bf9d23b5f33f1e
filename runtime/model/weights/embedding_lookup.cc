#include "runtime/model/weights/embedding_lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/try.h"

namespace reform {

int64_t EmbeddingLookup::block_bytes(const Weight& table) {
  return std::min(kRows, table.rows) * row_bytes(table.type, table.cols);
}

Result<std::unique_ptr<EmbeddingLookup>> EmbeddingLookup::create(const Gguf& gguf, const Weight& table, Device& device,
                                                                 MemoryAccount& host, int64_t n_blocks) {
  std::unique_ptr<EmbeddingLookup> l(new EmbeddingLookup(gguf, table, device));
  const int64_t bytes = block_bytes(table);
  TRY_ASSIGN(l->rows_, Buffer<std::byte>::create(device.account(), MemoryCategory::kWeights, bytes));
  l->blocks_.resize(size_t(n_blocks));
  for (Block& block : l->blocks_) {
    TRY_ASSIGN(block.rows, PinnedBuffer::create(*device.copies(), host, MemoryCategory::kWeights, bytes));
  }
  l->row_numbers_.resize(size_t(std::min(kRows, table.rows)));
  std::iota(l->row_numbers_.begin(), l->row_numbers_.end(), 0);
  return l;
}

EmbeddingLookup::~EmbeddingLookup() {
  for (const Block& block : blocks_) {
    if (block.copy >= 0) (void)device_.copies()->wait_for(block.copy).ok();
  }
}

Status EmbeddingLookup::embed(Ops& ops, std::span<const int32_t> ids, float scale, MatView<float> out) {
  const int64_t most = int64_t(row_numbers_.size());
  for (int64_t begin = 0; begin < int64_t(ids.size()); begin += most) {
    const int64_t n = std::min(most, int64_t(ids.size()) - begin);
    TRY(look_up(ids.subspan(size_t(begin), size_t(n))));
    ops.embed({table_.type, n, table_.cols, rows_.data()}, std::span(row_numbers_).first(size_t(n)), scale,
              out.row_range(begin, begin + n));
  }
  return {};
}

Status EmbeddingLookup::look_up(std::span<const int32_t> ids) {
  if (ids.size() > row_numbers_.size() || std::ranges::equal(looked_up_, ids)) return {};
  looked_up_.clear();
  Block& block = blocks_[next_];
  next_ = (next_ + 1) % blocks_.size();
  if (block.copy >= 0) TRY(device_.copies()->wait_for(block.copy));
  const int64_t row = row_bytes(table_.type, table_.cols);
  const auto* const table = static_cast<const std::byte*>(table_.data);
  std::byte* to = block.rows.data();
  for (const int32_t id : ids) {
    if (id < 0 || id >= table_.rows) return {Code::kCorrupt, fmt::format("there is no token {}", id)};
    TRY(gguf_.read({table + id * row, size_t(row)}, to));
    to += row;
  }
  TRY_ASSIGN(block.copy, device_.copies()->start(rows_.data(), block.rows.data(), int64_t(ids.size()) * row));
  TRY(device_.copies()->ops_wait_for(block.copy));
  looked_up_.assign(ids.begin(), ids.end());
  return {};
}

}  // namespace reform
