#include "kernels/cuda/code_check.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/float8.h"

namespace reform {
namespace {

constexpr int64_t kTokens = 32, kRows = 48, kDepth = 64, kStride = kDepth + 16;
constexpr float kStart = 100.0f, kXStep = 0.5f, kWStep = 4.0f;
// The library may keep fewer bits of a sum than FP32 has. A wrong step, layout or start is off by far more.
constexpr double kAllowed = 0.004;

struct Operands {
  std::vector<uint8_t> x, w;
  std::vector<float> y;

  // Small whole numbers, also past the depth, so that reading those shows in the result.
  Operands() : x(size_t(kTokens * kStride)), w(size_t(kRows * kStride)), y(size_t(kTokens * kRows), kStart) {
    for (size_t i = 0; i < x.size(); ++i) x[i] = f32_to_e4m3(float(i * 7 % 13) - 6);
    for (size_t i = 0; i < w.size(); ++i) w[i] = f32_to_e4m3(float(i * 5 % 11) - 4);
  }
  bool is_product(const std::vector<float>& got) const {
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t r = 0; r < kRows; ++r) {
        double sum = 0, magnitude = 0;
        for (int64_t k = 0; k < kDepth; ++k) {
          const double term =
              double(e4m3_to_f32(x[size_t(t * kStride + k)])) * double(e4m3_to_f32(w[size_t(r * kStride + k)]));
          sum += term, magnitude += std::abs(term);
        }
        const double step = double(kXStep) * double(kWStep);
        if (!(std::abs(double(got[size_t(t * kRows + r)]) - kStart - step * sum) <= kAllowed * step * magnitude)) {
          return false;
        }
      }
    }
    return true;
  }
};

}  // namespace

bool multiplies_codes(cuda::ProductLibrary& library, Device& device, void* stream, std::span<std::byte> memory) {
  constexpr int64_t kAlign = 256, kLeastWorkspaceBytes = 256;
  const Operands operands;
  const float steps[] = {kXStep, kWStep};
  size_t used = 0;
  const auto place = [&](const auto& values) -> std::byte* {
    const size_t bytes = std::size(values) * sizeof(values[0]);
    if (used + bytes > memory.size()) return nullptr;
    std::byte* const there = memory.data() + used;
    used = (used + bytes + kAlign - 1) / kAlign * kAlign;
    return device.to_device(there, std::data(values), int64_t(bytes)).ok() ? there : nullptr;
  };
  std::byte *const x = place(operands.x), *const w = place(operands.w), *const y = place(operands.y),
                   *const step = place(steps);
  if (x == nullptr || w == nullptr || y == nullptr || step == nullptr) return false;
  if (used + kLeastWorkspaceBytes > memory.size()) return false;
  const auto* const on_device = reinterpret_cast<const float*>(step);
  const cuda::CodeProductCall call{.x = reinterpret_cast<const uint8_t*>(x),
                                   .w = reinterpret_cast<const uint8_t*>(w),
                                   .x_step = on_device,
                                   .w_step = on_device + 1,
                                   .y = reinterpret_cast<float*>(y),
                                   .n_tokens = kTokens,
                                   .n_rows = kRows,
                                   .depth = kDepth,
                                   .x_stride = kStride,
                                   .w_stride = kStride,
                                   .y_stride = kRows,
                                   .accumulate = true};
  std::vector<float> got(operands.y.size());
  return library.multiply_codes(call, stream, memory.subspan(used)) &&
         device.to_host(got.data(), y, int64_t(got.size() * sizeof(float))).ok() && operands.is_product(got);
}

}  // namespace reform
