#include "runtime/model/synthetic/weight_pattern.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "base/float16.h"
#include "base/try.h"
#include "kernels/ops.h"

namespace reform {
namespace {

// Where a block keeps its scale and, if it has one, the factor of its minimum, both F16. All other bytes are codes and
// may have any value. `min_ratio` is the ratio of that factor to the scale at which the values' mean is 0.
struct BlockScales {
  int scale_at;  // -1: plain numbers, not blocks
  int min_at;    // -1: none
  float min_ratio;
  void (*store)(float value, std::byte* to);  // stores a plain number
  uint32_t exponent = 0x7c00;                 // all set: the scale, or the plain number, is not finite
};

template <class T, T (*convert)(float)>
void store_as(float value, std::byte* to) {
  const T number = convert(value);
  std::memcpy(to, &number, sizeof(number));
}
float same(float value) { return value; }

// One row per QuantType, in the enum's order.
constexpr BlockScales kScales[] = {
    {-1, -1, 0, store_as<float, same>, 0x7f800000},        // F32
    {-1, -1, 0, store_as<uint16_t, f32_to_f16>},           // F16
    {-1, -1, 0, store_as<uint16_t, f32_to_bf16>, 0x7f80},  // BF16
    {0, -1, 0, nullptr},                                   // Q4_0
    {0, 2, -7.5f, nullptr},                                // Q4_1: scale * code + min
    {0, -1, 0, nullptr},                                   // Q5_0
    {0, 2, -15.5f, nullptr},                               // Q5_1
    {0, -1, 0, nullptr},                                   // Q8_0
    {80, 82, 1.5f, nullptr},                               // Q2_K: scale * s * code - min * m, s and m alike
    {108, -1, 0, nullptr},                                 // Q3_K
    {0, 2, 7.5f, nullptr},                                 // Q4_K
    {0, 2, 15.5f, nullptr},                                // Q5_K
    {208, -1, 0, nullptr},                                 // Q6_K
};
static_assert(std::size(kScales) == size_t(QuantType::kCount), "a new QuantType needs a row in kScales");

constexpr uint64_t kSeed = 0x7265666f726d, kStartSeed = 0x7374617274, kSignSeed = 0x7369676e;
constexpr int64_t kMeasuredBlocks = 4096;  // enough to meet the deviation within a percent

bool is_prime(int64_t n) {
  for (int64_t d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return n > 1;
}

}  // namespace

ScalePlaces scale_places(QuantType type) {
  const BlockScales& row = kScales[size_t(type)];
  return {std::max(row.scale_at, 0), row.min_at, row.exponent};
}

uint64_t mix_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

WeightPattern::WeightPattern(QuantType type, int64_t most_bytes) : type_(type) {
  const int64_t block_bytes = geometry(type).block_bytes;
  int64_t n_blocks = std::max<int64_t>(1, most_bytes / block_bytes);
  while (n_blocks > 2 && !is_prime(n_blocks)) --n_blocks;
  bytes_.resize(size_t(n_blocks * block_bytes));
  for (size_t i = 0; i < bytes_.size(); i += sizeof(uint64_t)) {
    const uint64_t random = mix_bits(kSeed + i);
    std::memcpy(bytes_.data() + i, &random, std::min(sizeof(random), bytes_.size() - i));
  }
  if (kScales[size_t(type)].scale_at < 0) {
    fill_floats();
  } else {
    scale_blocks();
  }
}

// The values are uniform, made from the random integers that are in bytes_ already.
void WeightPattern::fill_floats() {
  const size_t n_bytes = size_t(geometry(type_).block_bytes);
  const float largest = kDeviation * std::sqrt(3.0f);
  for (size_t at = 0; at < bytes_.size(); at += n_bytes) {
    uint16_t random;
    std::memcpy(&random, bytes_.data() + at, sizeof(random));
    kScales[size_t(type_)].store(largest * (2 * (float(random) + 0.5f) / 65536 - 1), bytes_.data() + at);
  }
}

// Gives each block a scale of random sign, since the codes of some types are not symmetric. The scale's size follows
// from the deviation measured at a trial scale.
void WeightPattern::scale_blocks() {
  const QuantGeometry& g = geometry(type_);
  const BlockScales& where = kScales[size_t(type_)];
  const int64_t n_blocks = int64_t(bytes_.size()) / g.block_bytes;
  const auto set_scales = [&](float size, int64_t n) {
    const uint16_t scale = f32_to_f16(size), least = f32_to_f16(size * where.min_ratio);
    for (int64_t i = 0; i < n; ++i) {
      std::byte* const block = bytes_.data() + i * g.block_bytes;
      const uint16_t sign = uint16_t(mix_bits(kSignSeed + uint64_t(i)) & 0x8000u);
      const uint16_t signed_scale = scale ^ sign, signed_least = least ^ sign;
      std::memcpy(block + where.scale_at, &signed_scale, sizeof(scale));
      if (where.min_at >= 0) std::memcpy(block + where.min_at, &signed_least, sizeof(least));
    }
  };
  const int64_t n_measured = std::min(n_blocks, kMeasuredBlocks);
  constexpr float kTrial = 0x1p-7f;  // at this scale no value of any type overflows or underflows
  set_scales(kTrial, n_measured);
  std::vector<float> values(size_t(n_measured * g.block_elems));
  dequantise(type_, bytes_.data(), int64_t(values.size()), values.data());
  double squares = 0;
  for (const float v : values) squares += double(v) * v;
  set_scales(float(kTrial * kDeviation / std::sqrt(squares / double(values.size()))), n_blocks);
}

std::span<const std::byte> WeightPattern::piece(int64_t index, int64_t begin_byte, int64_t n_bytes) const {
  const auto size = int64_t(bytes_.size());
  const int64_t block_bytes = geometry(type_).block_bytes;
  const auto start = int64_t(mix_bits(kStartSeed + uint64_t(index)) % uint64_t(size / block_bytes)) * block_bytes;
  const int64_t at = (start + begin_byte) % size;
  return {bytes_.data() + at, size_t(std::min(n_bytes, size - at))};
}

}  // namespace reform
