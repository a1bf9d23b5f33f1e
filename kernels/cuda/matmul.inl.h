// Ops::matmul over the kernels: which of them, with what of the workspace. Few tokens: straight on the stored blocks.
// Many: activations become BF16, weights too, a panel of rows at a time (BF16 weights are read where they lie), and a
// library or our own kernel multiplies.
#pragma once

#include <algorithm>

#include "base/try.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

#ifdef __CUDACC__
inline constexpr bool kOnChip = true;
#else
inline constexpr bool kOnChip = false;
#endif

inline const uint8_t* bytes_of(const Weight& w) { return static_cast<const uint8_t*>(w.data); }
inline Dim over(int64_t n, int64_t rows) { return {unsigned((n + kRowThreads - 1) / kRowThreads), unsigned(rows)}; }

class Matmul {
 public:
  struct Parts {
    std::byte *narrow, *panel, *library;
  };
  // What NVIDIA recommends for cuBLASLt on compute capability 9.0.
  static constexpr int64_t kLibraryBytes = kOnChip ? int64_t{32} << 20 : 256;
  // Large, so that the product of a panel keeps all of a chip busy to its end: of 14336 rows of 5120, with 4096 tokens,
  // 32 MiB make 3 rounds of tiles on 132 multiprocessors and a fraction. Under emulation small, so that tests have
  // several panels.
  static constexpr int64_t kPanelBytes = kOnChip ? int64_t{128} << 20 : 64 << 10;

  static int64_t depth(int64_t cols) { return (cols + kPieceElems - 1) / kPieceElems * kPieceElems; }
  static int64_t narrow_bytes(const OpLimits& l) { return 2 * l.block_tokens() * depth(l.max_cols); }
  static int64_t panel_bytes(const OpLimits& l) { return std::max(kPanelBytes, 2 * kTileRows * depth(l.max_cols)); }

  Matmul(Stream stream, const CudaOptions& options, const Parts& parts)
      : stream_(stream), products_(options.products), parts_(parts) {}

  void multiply(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
                MatView<float> y) {
    if (x.rows == 0 || w.rows == 0) return;
    const Store store{bias.empty() ? nullptr : bias.data(), accumulate};
    x.rows <= kMaxVectors ? multiply_vectors(w, x, store, y) : multiply_panels(w, x, store, y);
  }

 private:
  void multiply_vectors(const Weight& w, MatView<const float> x, const Store& store, MatView<float> y) {
    const Dim grid{unsigned((w.rows + kVectorThreads / 32 - 1) / (kVectorThreads / 32))};
    with_format(w.type, [&](auto format) {
      with_count(x.rows, [&](auto n_tokens) {
        launch(stream_, matvec_kernel<decltype(format), n_tokens.value>, grid, {kVectorThreads}, 0, bytes_of(w), w.rows,
               rows_of(x), store, rows_of(y));
      });
    });
  }

  // Calls fn with the number as a type, [1, kMaxVectors].
  template <class Fn>
  static void with_count(int64_t n, Fn fn) {
    switch (n) {
      case 1:
        return fn(std::integral_constant<int, 1>{});
      case 2:
        return fn(std::integral_constant<int, 2>{});
      case 3:
        return fn(std::integral_constant<int, 3>{});
      case 4:
        return fn(std::integral_constant<int, 4>{});
      case 5:
        return fn(std::integral_constant<int, 5>{});
      case 6:
        return fn(std::integral_constant<int, 6>{});
      case 7:
        return fn(std::integral_constant<int, 7>{});
      default:
        return fn(std::integral_constant<int, kMaxVectors>{});
    }
  }

  void multiply_panels(const Weight& w, MatView<const float> x, const Store& store, MatView<float> y) {
    const Rows<const uint16_t> narrow = narrowed(x);
    if (is_narrow(w)) {
      return multiply_narrow(narrow, {static_cast<const uint16_t*>(w.data), w.rows, w.cols, w.cols}, store, y);
    }
    const int64_t n_panels = div_up(w.rows, panel_rows(w.cols));
    const int64_t n_rows = div_up(div_up(w.rows, n_panels), kTileRows) * kTileRows;
    for (int64_t first = 0; first < w.rows; first += n_rows) {
      const int64_t end = std::min(first + n_rows, w.rows);
      const Store of_panel{store.bias == nullptr ? nullptr : store.bias + first, store.accumulate};
      multiply_narrow(narrow, dequantised(w, first, end), of_panel, y.col_range(first, end));
    }
  }

  // Whether w is already what products take.
  static bool is_narrow(const Weight& w) {
    bool is_bfloat = false;
    with_format(w.type, [&](auto format) { is_bfloat = std::is_same_v<decltype(format), BF16>; });
    return is_bfloat && w.cols % kPieceElems == 0 && reinterpret_cast<uintptr_t>(w.data) % 16 == 0;
  }
  static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
  static int64_t panel_rows(int64_t cols) {
    return std::max<int64_t>(kPanelBytes / (2 * depth(cols)) / kTileRows, 1) * kTileRows;
  }

  Rows<const uint16_t> narrowed(MatView<const float> x) {
    const int64_t stride = depth(x.cols);
    const Rows<uint16_t> out{reinterpret_cast<uint16_t*>(parts_.narrow), x.rows, stride, stride};
    launch(stream_, to_bfloat_kernel, over(stride, x.rows), {kRowThreads}, 0, rows_of(x), out);
    return {out.data, out.rows, out.cols, out.stride};
  }

  Rows<const uint16_t> dequantised(const Weight& w, int64_t first, int64_t end) {
    const int64_t stride = depth(w.cols);
    const Rows<uint16_t> out{reinterpret_cast<uint16_t*>(parts_.panel), end - first, stride, stride};
    with_format(w.type, [&](auto format) {
      launch(stream_, dequantise_kernel<decltype(format)>, over(stride, out.rows), {kRowThreads}, 0, bytes_of(w),
             w.cols, first, out);
    });
    return {out.data, out.rows, out.cols, out.stride};
  }

  void multiply_narrow(Rows<const uint16_t> x, Rows<const uint16_t> w, const Store& store, MatView<float> y) {
    const ProductCall call{.x = x.data,
                           .w = w.data,
                           .y = y.data,
                           .bias = store.bias,
                           .n_tokens = x.rows,
                           .n_rows = w.rows,
                           .depth = x.cols,
                           .x_stride = x.stride,
                           .w_stride = w.stride,
                           .y_stride = y.stride_elems,
                           .accumulate = store.accumulate};
    std::span<std::byte> workspace(parts_.library, size_t(kLibraryBytes));
    if (products_ != nullptr && products_->multiply(call, stream_, workspace)) return;
    const int64_t n_tiles = div_up(x.rows, kTileTokens) * div_up(w.rows, kTileRows);
    launch(stream_, product_kernel, {unsigned(n_tiles)}, {kProductThreads}, kProductBytes, x, w, store, rows_of(y));
  }

  const Stream stream_;
  ProductLibrary* const products_;
  const Parts parts_;
};

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
