#include "runtime/compress/pages.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/float16.h"
#include "base/try.h"
#include "kernels/int8_states.h"

namespace reform {
namespace {

Status not_finite() { return {Code::kCorrupt, "holds a number that is not finite"}; }

}  // namespace

Result<std::unique_ptr<PageRecorder>> PageRecorder::create(const Site& site, const PageLayout& layout,
                                                           int64_t page_tokens, int64_t max_tokens) {
  CHECK(site.device.is_host() && page_tokens >= 1);
  std::unique_ptr<PageRecorder> made(new PageRecorder(layout, page_tokens));
  const int64_t most_pages = (max_tokens - 1) / page_tokens + 1;
  TRY_ASSIGN(made->states_,
             Buffer<std::byte>::create(site.host, MemoryCategory::kIndex, max_tokens * layout.states().row_bytes()));
  TRY_ASSIGN(made->keys_,
             Buffer<std::byte>::create(site.host, MemoryCategory::kIndex, most_pages * layout.key_bytes()));
  return made;
}

void PageRecorder::add_states(int64_t first_head, MatView<const float> x) {
  const EmbeddingLayout rows = layout_.states();
  const auto d = size_t(layout_.head_dim);
  for (int64_t t = 0; t < n_tokens_; ++t) {
    std::byte* const row = states_.data() + t * rows.row_bytes();
    for (int64_t g = 0; g < layout_.n_kv_heads; ++g) {
      const int64_t head = first_head + g;
      auto* const values = reinterpret_cast<int8_t*>(row) + head * layout_.head_dim;
      const float scale = quantise_state({x.row(t) + g * layout_.head_dim, d}, values);
      std::memcpy(row + rows.value_bytes() + head * 4, &scale, sizeof(scale));
    }
  }
}

void PageRecorder::add(int64_t layer, MatView<const float> k, MatView<const float> v) {
  CHECK(k.rows == n_tokens_ && v.rows == n_tokens_ && k.cols == layout_.layer_width());
  add_states(2 * layer * layout_.n_kv_heads, k);
  add_states((2 * layer + 1) * layout_.n_kv_heads, v);
  std::vector<double> sums(size_t(k.cols));
  for (int64_t begin = 0, page = 0; begin < n_tokens_; begin += page_tokens_, ++page) {
    const int64_t end = std::min(begin + page_tokens_, n_tokens_);
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t c = 0; c < k.cols; ++c) sums[size_t(c)] += double(k.row(t)[c]);
    }
    std::byte* const to = keys_.data() + page * layout_.key_bytes() + layer * k.cols * 2;
    for (int64_t c = 0; c < k.cols; ++c) {
      const uint16_t mean = f32_to_f16(float(sums[size_t(c)] / double(end - begin)));
      std::memcpy(to + c * 2, &mean, sizeof(mean));
    }
  }
}

ChunkPages PageRecorder::pages() const {
  const int64_t n_pages = (n_tokens_ + page_tokens_ - 1) / page_tokens_;
  return {{states_.data(), size_t(n_tokens_ * layout_.states().row_bytes())},
          {keys_.data(), size_t(n_pages * layout_.key_bytes())}};
}

Status read_page_layer(const PageLayout& layout, std::span<const std::byte> states, int64_t layer, MatView<float> k,
                       MatView<float> v) {
  const EmbeddingLayout rows = layout.states();
  CHECK(int64_t(states.size()) == k.rows * rows.row_bytes() && v.rows == k.rows);
  for (int64_t t = 0; t < k.rows; ++t) {
    for (int64_t i = 0; i < 2 * layout.n_kv_heads; ++i) {
      const int64_t head = 2 * layer * layout.n_kv_heads + i;
      float scale = 0;
      std::memcpy(&scale, rows.scales(states, t) + head * 4, sizeof(scale));
      if (!std::isfinite(scale)) return not_finite();
      float* const to =
          i < layout.n_kv_heads ? k.row(t) + i * layout.head_dim : v.row(t) + (i - layout.n_kv_heads) * layout.head_dim;
      dequantise_state(rows.values(states, t) + head * layout.head_dim, scale, {to, size_t(layout.head_dim)});
    }
  }
  return {};
}

Status read_page_key(std::span<const std::byte> key, std::span<float> out) {
  CHECK(key.size() == out.size() * 2);
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t half = 0;
    std::memcpy(&half, key.data() + i * 2, sizeof(half));
    out[i] = f16_to_f32(half);
    if (!std::isfinite(out[i])) return not_finite();
  }
  return {};
}

}  // namespace reform
