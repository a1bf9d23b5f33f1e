// Products of 16-bit or FP8 matrices by somebody else's kernels, if there are any: the seam between the ops and
// cuBLASLt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace reform::cuda {

// The 16-bit types that products on the tensor cores take. F16 has three more bits of precision, BF16 has FP32's range.
enum class Element : uint8_t { kF16, kBf16 };

// y [n_tokens, n_rows] = or += x [n_tokens, depth] . w [n_rows, depth]^T + bias, sums in FP32. x and w are `element`.
// Their rows and strides are whole numbers of 16 bytes. Strides are in elements.
struct ProductCall {
  Element element = Element::kF16;
  const uint16_t* x = nullptr;
  const uint16_t* w = nullptr;
  float* y = nullptr;
  const float* bias = nullptr;  // [n_rows], or null
  int64_t n_tokens = 0, n_rows = 0, depth = 0;
  int64_t x_stride = 0, w_stride = 0, y_stride = 0;
  bool accumulate = false;
};

// y = or += step of x * step of w * (x . w^T). x and w are e4m3 codes, and there is no bias; otherwise as ProductCall.
// Each step is one float in the device's memory, which the product reads when it runs.
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
  // Issues the product in the order of `stream` (a cudaStream_t). It uses `workspace`, 256-byte aligned device memory,
  // while it runs. False: it cannot, and nothing was done.
  virtual bool multiply(const ProductCall& call, void* stream, std::span<std::byte> workspace) = 0;
  virtual bool multiply_codes(const CodeProductCall& /*call*/, void* /*stream*/, std::span<std::byte> /*workspace*/) {
    return false;
  }
};

}  // namespace reform::cuda
