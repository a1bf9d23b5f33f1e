// Products of many rows by a library, with both factors as e4m3 codes. They serve weights with an id, where the caller
// of make_cuda_ops() asks for it (OpLimits::code_weights). A weight's step is found at its first product and kept. The
// activations' step is found for each call, so that their rounding does not depend on earlier calls.
#pragma once

#include <vector>

#include "base/try.h"
#include "kernels/cuda/codes.cuh"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/port.h"
#include "kernels/cuda/remembered.h"
#include "kernels/cuda/weights.inl.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

class CodeProducts {
 public:
  struct Parts {
    std::byte *codes, *steps, *of_block, *panel, *library;  // panel and library are shared with other products
    int64_t panel_bytes, library_bytes;
  };
  static int64_t codes_bytes(const OpLimits& l) {
    return l.code_weights > 0 ? l.block_tokens() * depth(l.max_cols) : 0;
  }
  static int64_t steps_bytes(const OpLimits& l) {
    return l.code_weights > 0 ? (l.code_weights + 1) * int64_t(sizeof(Step)) : 0;
  }
  static int64_t of_block_bytes(const OpLimits& l) {
    return l.code_weights > 0 ? l.block_tokens() * int64_t(sizeof(float)) : 0;
  }

  CodeProducts(const OpLimits& limits, Stream stream, const CudaOptions& options, const Parts& parts)
      : stream_(stream),
        products_(limits.code_weights > 0 ? options.products : nullptr),
        parts_(parts),
        step_is_known_(size_t(limits.code_weights)),
        remembered_(options.outside_writes) {}

  // Whether most products of many rows use codes.
  bool wanted() const { return products_ != nullptr; }

  // Multiplies by the first rows of w, without a bias, and returns how many rows that were.
  int64_t multiply(const Weight& w, MatView<const float> x, bool accumulate, MatView<float> y) {
    if (products_ == nullptr || w.id < 0 || w.id >= int64_t(step_is_known_.size())) return 0;
    const int64_t stride = depth(w.cols), tiles = std::max<int64_t>(parts_.panel_bytes / stride / kPanelRowsUnit, 1);
    const int64_t n_panels = div_up(w.rows, tiles * kPanelRowsUnit);
    const int64_t n_rows = div_up(div_up(w.rows, n_panels), kPanelRowsUnit) * kPanelRowsUnit;
    CHECK(std::min(n_rows, w.rows) * stride <= parts_.panel_bytes);
    make_codes(x);
    find_step(w);
    for (int64_t first = 0; first < w.rows; first += n_rows) {
      const int64_t end = std::min(first + n_rows, w.rows);
      const Rows<uint8_t> panel{reinterpret_cast<uint8_t*>(parts_.panel), end - first, stride, stride};
      make_panel(w, first, panel);
      const CodeProductCall call{.x = codes(),
                                 .w = panel.data,
                                 .x_step = &steps()[0].step,
                                 .w_step = &step_of(w)->step,
                                 .y = y.data + first,
                                 .n_tokens = x.rows,
                                 .n_rows = panel.rows,
                                 .depth = stride,
                                 .x_stride = stride,
                                 .w_stride = stride,
                                 .y_stride = y.stride_elems,
                                 .accumulate = accumulate};
      const std::span<std::byte> workspace(parts_.library, size_t(parts_.library_bytes));
      if (!products_->multiply_codes(call, stream_, workspace)) return first;
    }
    return w.rows;
  }

  // As Matmul::wrote() and forget().
  void wrote(const void* data, int64_t bytes) { remembered_.wrote(data, bytes); }
  void wrote(MatView<const float> m) { remembered_.wrote(m); }
  void forget() {
    remembered_.forget();
    step_is_known_.assign(step_is_known_.size(), false);
  }

 private:
  // Panels begin at multiples of this many rows, as our own product's tiles do.
  static constexpr int64_t kPanelRowsUnit = 128;
  static int64_t depth(int64_t cols) { return div_up(cols, kCodePieceElems) * kCodePieceElems; }

  uint8_t* codes() const { return reinterpret_cast<uint8_t*>(parts_.codes); }
  Step* steps() const { return reinterpret_cast<Step*>(parts_.steps); }  // the activations', then each weight's
  Step* step_of(const Weight& w) const { return steps() + 1 + w.id; }
  float* of_block() const { return reinterpret_cast<float*>(parts_.of_block); }

  void make_codes(MatView<const float> x) {
    if (remembered_.is(x)) return;
    const Rows<uint8_t> out{codes(), x.rows, depth(x.cols), depth(x.cols)};
    launch(stream_, row_largest_kernel, {unsigned(x.rows)}, {kRowThreads}, 0, rows_of(x), of_block());
    launch(stream_, step_kernel, {1}, {kRowThreads}, 0, of_block(), x.rows, steps());
    const bool whole = x.cols % 4 == 0 && x.stride_elems % 4 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
    launch(stream_, whole ? activation_codes_kernel<true> : activation_codes_kernel<false>,
           {unsigned(x.rows), unsigned(div_up(out.cols / 4, kRowThreads))}, {kRowThreads}, 0, rows_of(x), steps(), out);
    remembered_.set(x);
  }

  // The blocks' largest values lie in the panel's memory, which is free until the panel is made.
  void find_step(const Weight& w) {
    if (step_is_known_[size_t(w.id)]) return;
    auto* const of_block = reinterpret_cast<float*>(parts_.panel);
    with_format(w.type, [&](auto format) {
      using F = decltype(format);
      int64_t n_blocks = 0;
      if constexpr (F::kIsFloat) {
        const int64_t n_elems = w.rows * w.cols;
        n_blocks = div_up(n_elems, kRowThreads * kFloatsAThread);
        launch(stream_, float_largest_kernel<F>, {unsigned(n_blocks)}, {kRowThreads}, 0, bytes_of(w), n_elems,
               of_block);
      } else {
        const int64_t n_units = w.rows * w.cols / (kRun * F::kRuns);
        n_blocks = div_up(n_units, kRowThreads);
        launch(stream_, aligned<F>(w) ? quant_largest_kernel<F, F::kAlign> : quant_largest_kernel<F, 2>,
               {unsigned(n_blocks)}, {kRowThreads}, 0, bytes_of(w), n_units, of_block);
      }
      CHECK(n_blocks * int64_t(sizeof(float)) <= parts_.panel_bytes);
      launch(stream_, step_kernel, {1}, {kRowThreads}, 0, of_block, n_blocks, step_of(w));
    });
    step_is_known_[size_t(w.id)] = true;
  }

  void make_panel(const Weight& w, int64_t first, const Rows<uint8_t>& out) {
    with_format(w.type, [&](auto format) {
      using F = decltype(format);
      if constexpr (F::kIsFloat) {
        launch(stream_, whole_fours<F>(w) ? float_codes_kernel<F, true> : float_codes_kernel<F, false>,
               over(out.rows * (out.cols / kCodePieceElems), 1), {kRowThreads}, 0, bytes_of(w), w.cols, first,
               step_of(w), out);
      } else {
        launch(stream_, aligned<F>(w) ? quant_codes_kernel<F, F::kAlign> : quant_codes_kernel<F, 2>,
               over(out.rows * (out.cols / (kRun * F::kRuns)), 1), {kRowThreads}, 0, bytes_of(w), first, step_of(w),
               out);
      }
    });
  }

  const Stream stream_;
  ProductLibrary* const products_;
  const Parts parts_;
  std::vector<bool> step_is_known_;
  Remembered remembered_;
};

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
