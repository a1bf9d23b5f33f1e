#include "runtime/model/soundness.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/float16.h"
#include "base/try.h"
#include "runtime/model/gguf.h"
#include "runtime/model/synthetic/weight_pattern.h"

namespace reform {
namespace {

// Numbers `stride` bytes apart whose exponent bits are all set are infinite or NaN. Returns the first's index, or -1.
template <class T>
int64_t first_not_finite(const std::byte* data, int64_t n, int64_t stride, T exponent) {
  constexpr int64_t kRun = 4096;  // a run without a branch is one that the compiler vectorises
  const auto is_bad = [&](int64_t i) {
    T bits;
    std::memcpy(&bits, data + i * stride, sizeof(bits));
    return (bits & exponent) == exponent;
  };
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = std::min(n, begin + kRun);
    bool any = false;
    for (int64_t i = begin; i < end; ++i) any |= is_bad(i);
    if (!any) continue;
    for (int64_t i = begin; i < end; ++i)
      if (is_bad(i)) return i;
  }
  return -1;
}

constexpr const char* kAdvice = "; the model file is damaged, badly converted, or not one for text";

// The element, or the first of the block, that is not finite; -1: none.
int64_t first_bad_element(const GgufTensor& tensor) {
  const QuantGeometry& g = geometry(tensor.type);
  const std::byte* data = tensor.data.data();
  const int64_t n_blocks = int64_t(tensor.data.size()) / g.block_bytes;
  const ScalePlaces places = scale_places(tensor.type);
  int64_t first = -1;
  for (const int at : {places.scale_at, places.min_at}) {
    if (at < 0) continue;
    const int64_t block =
        g.block_bytes == sizeof(uint32_t)
            ? first_not_finite<uint32_t>(data + at, n_blocks, g.block_bytes, places.exponent)
            : first_not_finite<uint16_t>(data + at, n_blocks, g.block_bytes, uint16_t(places.exponent));
    if (block >= 0 && (first < 0 || block < first)) first = block;
  }
  return first < 0 ? -1 : first * g.block_elems;
}

}  // namespace

Status check_finite(const Gguf& gguf, const GgufTensor& tensor) {
  const int64_t bad = first_bad_element(tensor);
  if (bad < 0) return {};
  const QuantGeometry& g = geometry(tensor.type);
  const std::string what = g.block_elems == 1
                               ? fmt::format("element {} is", bad)
                               : fmt::format("the scale of elements {} to {} is", bad, bad + g.block_elems - 1);
  return {Code::kBadModel, fmt::format("{}: tensor {}: {} infinite or not a number; the file is damaged or was badly "
                                       "converted: fetch or convert it again",
                                       gguf.path(), tensor.name, what)};
}

Status check_finite(const Gguf& gguf) {
  for (const GgufTensor& tensor : gguf.tensors()) TRY(check_finite(gguf, tensor));
  return {};
}

Status states_not_numbers(int64_t layer) {
  return {Code::kBadModel,
          fmt::format("the model's states{} are zero, infinite or not numbers, so nothing could be found "
                      "by them{}",
                      layer >= 0 ? fmt::format(" in layer {}", layer) : "", kAdvice)};
}

Status check_logits(std::span<const float> logits) {
  const auto [least, most] = std::minmax_element(logits.begin(), logits.end());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i]))
      return {Code::kBadModel, fmt::format("the model gives token {} a logit of {}, so no token can be chosen{}", i,
                                           logits[i], kAdvice)};
  }
  if (logits.size() > 1 && *least == *most)
    return {Code::kBadModel, fmt::format("the model gives all {} tokens the same logit, {}, so none can be chosen{}",
                                         logits.size(), *least, kAdvice)};
  return {};
}

}  // namespace reform
