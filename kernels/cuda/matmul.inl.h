// Ops::matmul over the kernels: which kernel, with which scratch. A few tokens are multiplied with the stored blocks
// directly. For many, activations become F16, once for consecutive products of the same ones. Weights become F16 too, a
// panel of rows at a time. Then a library or our own kernel multiplies. F16 and BF16 weights are read where they lie,
// and activations take the weights' type.
#pragma once

#include <algorithm>

#include "base/try.h"
#include "kernels/cuda/code_products.inl.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/panels.cuh"
#include "kernels/cuda/port.h"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/remembered.h"
#include "kernels/cuda/vectors.cuh"
#include "kernels/cuda/weights.inl.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

class Matmul {
 public:
  struct Parts {
    std::byte *narrow, *panel, *library;
    std::byte *codes, *steps, *of_block;  // for CodeProducts
  };
  // NVIDIA recommends this for cuBLASLt on compute capability 9.0.
  static constexpr int64_t kLibraryBytes = kOnChip ? int64_t{32} << 20 : 256;
  // Large, so that a panel's product keeps the whole chip busy to its end. With 32 MiB, 14336 rows of 5120 and 4096
  // tokens would be 3 rounds of tiles and a fraction on 132 multiprocessors. Small under emulation, so that tests have
  // several panels.
  static constexpr int64_t kPanelBytes = kOnChip ? int64_t{128} << 20 : 64 << 10;

  static int64_t depth(int64_t cols) { return div_up(cols, kPieceElems) * kPieceElems; }
  static int64_t narrow_bytes(const OpLimits& l) {
    const int64_t most = l.block_tokens(), few = std::min<int64_t>(most, kMaxVectors);
    return std::max(2 * most * depth(l.max_cols), plane_bytes(few, plane_stride(l.max_cols)));
  }
  static int64_t panel_bytes(const OpLimits& l) { return std::max(kPanelBytes, 2 * kTileRows * depth(l.max_cols)); }

  Matmul(const OpLimits& limits, Stream stream, const CudaOptions& options, const Parts& parts)
      : stream_(stream),
        products_(options.products),
        parts_(parts),
        narrow_capacity_(narrow_bytes(limits)),
        remembered_(options.outside_writes),
        codes_(limits, stream, options,
               {parts.codes, parts.steps, parts.of_block, parts.panel, parts.library, panel_bytes(limits),
                kLibraryBytes}) {}

  void multiply(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
                MatView<float> y) {
    if (x.rows == 0 || w.rows == 0) return;
    const Store store{bias.empty() ? nullptr : bias.data(), accumulate};
    x.rows <= kMaxVectors ? multiply_vectors(w, x, store, y) : multiply_many(w, x, store, y);
    wrote(y);
  }

  // Every op that writes memory calls this, and does so before copy_for().
  void wrote(const void* data, int64_t bytes) {
    remembered_.wrote(data, bytes);
    codes_.wrote(data, bytes);
  }
  void wrote(MatView<const float> m) {
    remembered_.wrote(m);
    codes_.wrote(m);
  }
  void forget() {
    remembered_.forget();
    codes_.forget();
  }

  // Where an op that writes all of `x` may also put a narrow copy of it, for the next product. Nowhere, if copies are
  // not remembered.
  Narrow copy_for(MatView<const float> x) {
    const int64_t bytes =
        x.rows <= kMaxVectors ? plane_bytes(x.rows, plane_stride(x.cols)) : 2 * x.rows * depth(x.cols);
    if (!remembered_.is_possible() || bytes > narrow_capacity_ || (x.rows > kMaxVectors && codes_.wanted())) return {};
    remembered_.set(x);
    return place_for(x.rows, x.cols, copies_are_);
  }

 private:
  static int64_t plane_stride(int64_t cols) { return div_up(cols, 32) * 32; }
  static int64_t plane_bytes(int64_t n_tokens, int64_t stride) {
    return n_tokens * (2 * stride + stride / kRun * 2 * int64_t(sizeof(float)));
  }
  Narrow place_for(int64_t n_tokens, int64_t cols, Element element) const {
    if (n_tokens > kMaxVectors)
      return {reinterpret_cast<uint16_t*>(parts_.narrow), nullptr, nullptr, nullptr, depth(cols), element};
    const int64_t stride = plane_stride(cols);
    auto* const high = reinterpret_cast<int8_t*>(parts_.narrow);
    int8_t* const low = high + n_tokens * stride;
    return {nullptr, high, low, reinterpret_cast<float*>(low + n_tokens * stride), stride, element};
  }
  // `element` is the type of many tokens' copies. If it differs from the last one, the copy is made anew, and later ops
  // write their copies in this type.
  Narrow narrowed(MatView<const float> x, Element element) {
    if (std::exchange(copies_are_, element) != element) remembered_.forget();
    const Narrow narrow = place_for(x.rows, x.cols, element);
    if (remembered_.is(x)) return narrow;
    const Dim grid{unsigned(x.rows), unsigned(div_up(x.cols, kRowThreads))};
    launch(stream_, narrow_kernel, grid, {kRowThreads}, 0, rows_of(x), narrow);
    remembered_.set(x);
    return narrow;
  }

  void multiply_vectors(const Weight& w, MatView<const float> x, const Store& store, MatView<float> y) {
    with_format(w.type, [&](auto format) {
      using F = decltype(format);
      with_tokens(x.rows, [&](auto n_tokens) {
        if constexpr (F::kIsFloat) multiply_floats<F, n_tokens.value>(w, x, store, y);
        if constexpr (!F::kIsFloat) multiply_quants<F, n_tokens.value>(w, x, store, y);
      });
    });
  }

  // Calls fn with n, rounded up to a compiled size, as a type.
  template <class Fn>
  static void with_tokens(int64_t n, Fn fn) {
    if (n == 1) return fn(std::integral_constant<int, 1>{});
    if (n == 2) return fn(std::integral_constant<int, 2>{});
    if (n <= 4) return fn(std::integral_constant<int, 4>{});
    fn(std::integral_constant<int, kMaxVectors>{});
  }

  // How many warps share two rows of n_units units: enough in all to keep a large chip's memory busy, and none without
  // work. It depends on the shape only, so that sums are the same on every chip.
  static int split_of(int64_t n_rows, int64_t n_units) {
    constexpr int64_t kEnoughWarps = 4096;
    int split = 1;
    while (split < kVectorWarps && div_up(n_rows, kVectorRows) * split < kEnoughWarps && n_units > 32 * split)
      split *= 2;
    return split;
  }
  static Dim vector_grid(int64_t n_rows, int split) {
    return {unsigned(div_up(n_rows, kVectorWarps / split * kVectorRows))};
  }

  template <class Format, int kTokens>
  void multiply_quants(const Weight& w, MatView<const float> x, const Store& store, MatView<float> y) {
    const Narrow narrow = narrowed(x, copies_are_);
    const int split = split_of(w.rows, w.cols / (kRun * Format::kRuns));
    auto* const kernel = aligned<Format>(w) ? quant_vector_kernel<Format, Format::kAlign, kTokens>
                                            : quant_vector_kernel<Format, 2, kTokens>;
    launch(stream_, kernel, vector_grid(w.rows, split), {kVectorThreads}, 0, bytes_of(w), w.cols, narrow, int(x.rows),
           split, store, rows_of(y));
  }
  template <class Format, int kTokens>
  void multiply_floats(const Weight& w, MatView<const float> x, const Store& store, MatView<float> y) {
    const bool by_fours = whole_fours<Format>(w) && reinterpret_cast<uintptr_t>(x.data) % 16 == 0 &&
                          (x.stride_elems % 4 == 0 || x.rows == 1);
    const int split = split_of(w.rows, by_fours ? w.cols / 4 : w.cols);
    auto* const kernel = by_fours ? float_vector_kernel<Format, 4, kTokens> : float_vector_kernel<Format, 1, kTokens>;
    launch(stream_, kernel, vector_grid(w.rows, split), {kVectorThreads}, 0, bytes_of(w), rows_of(x), split, store,
           rows_of(y));
  }

  // CodeProducts takes the first rows if it can; the rest are multiplied in 16 bits.
  void multiply_many(const Weight& w, MatView<const float> x, const Store& store, MatView<float> y) {
    const int64_t n_done = codes_.multiply(w, x, store.accumulate, y);
    if (n_done > 0 && store.bias != nullptr) {
      const MatView<float> done = y.col_range(0, n_done);
      launch(stream_, add_bias_kernel, over_matrix(done), {kRowThreads}, 0, store.bias, rows_of(done));
    }
    if (n_done == w.rows) return;
    const Weight rest{w.type, w.rows - n_done, w.cols, bytes_of(w) + n_done * row_bytes(w.type, w.cols)};
    const Store of_rest{store.bias == nullptr ? nullptr : store.bias + n_done, store.accumulate};
    multiply_panels(rest, x, of_rest, y.col_range(n_done, w.rows));
  }

  void multiply_panels(const Weight& w, MatView<const float> x, const Store& store, MatView<float> y) {
    const Element element = element_of(w);
    const Narrow copy = narrowed(x, element);
    const Rows<const uint16_t> narrow{copy.elements, x.rows, copy.stride, copy.stride};
    if (is_narrow(w)) {
      const Rows<const uint16_t> as_it_is{static_cast<const uint16_t*>(w.data), w.rows, w.cols, w.cols};
      return multiply_narrow(element, narrow, as_it_is, store, y);
    }
    const int64_t n_panels = div_up(w.rows, panel_rows(w.cols));
    const int64_t n_rows = div_up(div_up(w.rows, n_panels), kTileRows) * kTileRows;
    for (int64_t first = 0; first < w.rows; first += n_rows) {
      const int64_t end = std::min(first + n_rows, w.rows);
      const Store of_panel{store.bias == nullptr ? nullptr : store.bias + first, store.accumulate};
      multiply_narrow(element, narrow, dequantised(w, first, end, element), of_panel, y.col_range(first, end));
    }
  }

  // The type in which a weight is multiplied. BF16 is for BF16 weights only: usual activations and weights are within
  // F16's range, and F16 rounds an eighth as much. A finite number beyond the range becomes the largest one.
  static Element element_of(const Weight& w) {
    Element element{};
    with_format(w.type, [&](auto format) {
      element = std::is_same_v<decltype(format), BF16> ? Element::kBf16 : Element::kF16;
    });
    return element;
  }
  // Whether products can take w as it is.
  static bool is_narrow(const Weight& w) {
    bool has_16_bits = false;
    with_format(w.type, [&](auto format) {
      has_16_bits = std::is_same_v<decltype(format), BF16> || std::is_same_v<decltype(format), F16>;
    });
    return has_16_bits && w.cols % kPieceElems == 0 && reinterpret_cast<uintptr_t>(w.data) % 16 == 0;
  }
  static int64_t panel_rows(int64_t cols) {
    return std::max<int64_t>(kPanelBytes / (2 * depth(cols)) / kTileRows, 1) * kTileRows;
  }

  Rows<const uint16_t> dequantised(const Weight& w, int64_t first, int64_t end, Element element) {
    const int64_t stride = depth(w.cols);
    const Rows<uint16_t> out{reinterpret_cast<uint16_t*>(parts_.panel), end - first, stride, stride};
    with_format(w.type, [&](auto format) {
      using F = decltype(format);
      if constexpr (F::kIsFloat) {
        const bool whole = whole_fours<F>(w) && w.cols % 8 == 0;
        launch(stream_, whole ? float_panel_kernel<F, true> : float_panel_kernel<F, false>,
               over(out.rows * (stride / 8), 1), {kRowThreads}, 0, bytes_of(w), w.cols, first, out, element);
      } else {
        launch(stream_, aligned<F>(w) ? quant_panel_kernel<F, F::kAlign> : quant_panel_kernel<F, 2>,
               over(out.rows * (stride / (kRun * F::kRuns)), 1), {kRowThreads}, 0, bytes_of(w), first, out, element);
      }
    });
    return {out.data, out.rows, out.cols, out.stride};
  }

  void multiply_narrow(Element element, Rows<const uint16_t> x, Rows<const uint16_t> w, const Store& store,
                       MatView<float> y) {
    const ProductCall call{.element = element,
                           .x = x.data,
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
    auto* const kernel = element == Element::kF16 ? product_kernel<Element::kF16> : product_kernel<Element::kBf16>;
    launch(stream_, kernel, {unsigned(n_tiles)}, {kProductThreads}, kProductBytes, x, w, store, rows_of(y));
  }

  const Stream stream_;
  ProductLibrary* const products_;
  const Parts parts_;
  const int64_t narrow_capacity_;
  Remembered remembered_;
  Element copies_are_ = Element::kF16;
  CodeProducts codes_;
};

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
