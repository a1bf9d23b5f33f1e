// The FP32 panel path: every type and every machine; the fastest one for F32 weights.
#include <algorithm>

#include "base/try.h"
#include "kernels/cpu/matmul_paths.h"

namespace reform::cpu {
namespace {

constexpr int64_t kMaxPanelRows = 32;

// Per worker: one row of the panel as dequantise() gives it, then the panel itself.
struct Scratch {
  alignas(64) float row[kPanelCols];
  alignas(64) float panel[kPanelCols * kMaxPanelRows];
};

// panel[c, r] = w[row_begin + r, col_begin + c]; rows past the matrix are zero.
void fill_panel(const Weight& w, int64_t row_begin, int64_t n_rows, int64_t col_begin, int64_t n_cols,
                int64_t panel_rows, Scratch& scratch) {
  for (int64_t r = 0; r < panel_rows; ++r) {
    if (r < n_rows) {
      dequantise(w.type, weight_at(w, row_begin + r, col_begin), n_cols, scratch.row);
    } else {
      std::fill_n(scratch.row, n_cols, 0.0f);
    }
    for (int64_t c = 0; c < n_cols; ++c) scratch.panel[c * panel_rows + r] = scratch.row[c];
  }
}

}  // namespace

int64_t float_path_bytes(int n_threads) { return int64_t(sizeof(Scratch)) * n_threads; }

void matmul_float(const FloatKernel& kernel, FillPanelFn fill, const MatmulCall& call) {
  CHECK(kernel.rows <= kMaxPanelRows);
  CHECK(int64_t(call.workspace.size()) >= float_path_bytes(call.pool.size()));
  const Weight& w = call.w;
  const int64_t n_panels = (w.rows + kernel.rows - 1) / kernel.rows, n_tokens = call.x.rows;
  call.pool.parallel_for(n_panels, [&](int64_t task, int worker) {
    Scratch& scratch = reinterpret_cast<Scratch*>(call.workspace.data())[worker];
    const int64_t row = task * kernel.rows, n_rows = std::min<int64_t>(kernel.rows, w.rows - row);
    start_sums(call, 0, n_tokens, row, row + n_rows);
    for (int64_t col = 0; col < w.cols; col += kPanelCols) {
      const int64_t n_cols = std::min(kPanelCols, w.cols - col);
      if (fill != nullptr) {
        fill(static_cast<const uint8_t*>(weight_at(w, row, col)), row_bytes(w.type, w.cols), int(n_rows), n_cols,
             kernel.rows, scratch.panel);
      } else {
        fill_panel(w, row, n_rows, col, n_cols, kernel.rows, scratch);
      }
      for (int64_t t = 0; t < n_tokens; t += kernel.tokens) {
        kernel.run(scratch.panel, n_cols, call.x.row(t) + col, call.x.stride_elems,
                   int(std::min<int64_t>(kernel.tokens, n_tokens - t)), int(n_rows), call.y.row(t) + row,
                   call.y.stride_elems);
      }
    }
  });
}

}  // namespace reform::cpu
