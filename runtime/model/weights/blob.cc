#include "runtime/model/weights/blob.h"

#include <algorithm>

#include "base/try.h"

namespace reform {
namespace {

int64_t padded_in_blob(int64_t bytes) {
  return (bytes + WeightBlob::kAlignment - 1) / WeightBlob::kAlignment * WeightBlob::kAlignment;
}

std::span<const std::byte> bytes_of(const Weight& w) {
  if (w.data == nullptr) return {};
  return {static_cast<const std::byte*>(w.data), size_t(w.rows * row_bytes(w.type, w.cols))};
}
std::span<const std::byte> bytes_of(std::span<const float> v) { return std::as_bytes(v); }

void set_data(Weight& w, const std::byte* data) { w.data = data; }
void set_data(std::span<const float>& v, const std::byte* data) {
  v = {reinterpret_cast<const float*>(data), v.size()};
}

// The order of tensors in a blob. What the early-exit layer needs comes first.
template <class Layer, class Fn>
void for_states(Layer& w, Fn fn) {
  fn(w.attn_norm), fn(w.q), fn(w.k), fn(w.v);
  fn(w.q_bias), fn(w.k_bias), fn(w.v_bias), fn(w.q_norm), fn(w.k_norm);
}
template <class Layer, class Fn>
void for_rest(Layer& w, Fn fn) {
  fn(w.o), fn(w.o_bias), fn(w.attn_post_norm), fn(w.ffn_norm), fn(w.gate), fn(w.up), fn(w.down), fn(w.ffn_post_norm);
}

}  // namespace

void WeightBlob::add(std::span<const std::byte> data) {
  if (data.empty()) return;
  pieces.push_back({data, bytes});
  bytes += padded_in_blob(int64_t(data.size()));
}

Status WeightBlob::read(const Gguf& gguf, int64_t begin, int64_t end, std::byte* to) const {
  for (const Piece& p : pieces) {
    const int64_t first = std::max(begin, p.offset), last = std::min(end, p.offset + int64_t(p.data.size()));
    if (first >= last) continue;
    TRY(gguf.read(p.data.subspan(size_t(first - p.offset), size_t(last - first)), to + (first - begin)));
  }
  return {};
}

WeightBlob layer_blob(const LayerWeights& layer) {
  WeightBlob blob;
  const auto add = [&](const auto& tensor) { blob.add(bytes_of(tensor)); };
  for_states(layer, add);
  blob.states_bytes = blob.bytes;
  for_rest(layer, add);
  return blob;
}

WeightBlob matrix_blob(const Weight& w) {
  WeightBlob blob;
  blob.add(bytes_of(w));
  return blob;
}

LayerWeights layer_at(const LayerWeights& layer, const std::byte* base) {
  LayerWeights there = layer;
  int64_t offset = 0;
  const auto place = [&](auto& tensor) {
    const auto bytes = bytes_of(tensor);
    if (bytes.empty()) return;
    set_data(tensor, base + offset);
    offset += padded_in_blob(int64_t(bytes.size()));
  };
  for_states(there, place);
  for_rest(there, place);
  return there;
}

}  // namespace reform
