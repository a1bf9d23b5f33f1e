// Products of matrices of 16 bits or FP8 by somebody else's kernels, where there are any: the seam between the ops and
// cuBLASLt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace reform::cuda {

// What a product on the tensor cores takes in 16 bits. F16 has three more bits of a number, BF16 the range of FP32.
enum class Element : uint8_t { kF16, kBf16 };

// y [n_tokens, n_rows] = or += x [n_tokens, depth] . w [n_rows, depth]^T + bias, sums in FP32. x and w are `element`,
// their rows and strides whole numbers of 16 bytes. Strides in elements.
struct ProductCall {
  Element element = Element::kF16;
  const uint16_t* x = nullptr;
  const uint16_t* w = nullptr;
  float* y = nullptr;
  const float* bias = nullptr;  // [n_rows], or none
  int64_t n_tokens = 0, n_rows = 0, depth = 0;
  int64_t x_stride = 0, w_stride = 0, y_stride = 0;
  bool accumulate = false;
};

// y = or += step of x * step of w * (x . w^T), x and w e4m3 codes, else the same; there is no bias. The steps are one
// float each in the device's memory, read when the product runs.
struct CodeProductCall {
  const uint8_t* x = nullptr;
  const uint8_t* w = nullptr;
  const float* x_step = nullptr;
  const float* w_step = nullptr;
  float* y = nullptr;
  int64_t n_tokens = 0, n_rows = 0, depth = 0;
  int64_t x_stride = 0, w_stride = 0, y_stride = 0;
  bool accumulate = false;
};

// Thread-safety: one call at a time.
class ProductLibrary {
 public:
  virtual ~ProductLibrary() = default;
  virtual const char* name() const = 0;
  // In the order of `stream` (a cudaStream_t), with `workspace`, 256-byte aligned device memory, for as long as it
  // runs. False: it cannot, and nothing has been done.
  virtual bool multiply(const ProductCall& call, void* stream, std::span<std::byte> workspace) = 0;
  virtual bool multiply_codes(const CodeProductCall& /*call*/, void* /*stream*/, std::span<std::byte> /*workspace*/) {
    return false;
  }
};

}  // namespace reform::cuda
