// The INT8 panel path: it quantises the activations once, then goes over all of them with each block of rows.
#include <algorithm>

#include "base/try.h"
#include "kernels/cpu/matmul_paths.h"

namespace reform::cpu {
namespace {

// Tokens whose quantised activations are kept at once; each panel is unpacked once for them. With kPanelCols columns
// they take 0.6 MB, so they stay in the L2 cache while a task's panels pass over them. The CPU device's block of 512
// tokens fits; a few tokens more would be a second chunk, for which every panel would be unpacked again.
constexpr int64_t kChunkTokens = 516;
static_assert(kChunkTokens % kInt8Tokens == 0);
constexpr int64_t kTaskPanels = 4;

struct Scratch {
  WeightUnit panels[kTaskPanels][kPanelUnits];
};

int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t tile_groups(int64_t cols) { return div_up(cols, kGroupCols); }
int64_t activation_bytes(int64_t n_tokens, int64_t cols) {
  const int64_t bytes = div_up(n_tokens, kInt8Tokens) * tile_groups(cols) * int64_t(sizeof(ActivationGroup));
  return div_up(bytes, 64) * 64;
}

// Rows [row_begin, row_end) (at most kTaskPanels panels) for tokens [token_begin, token_end) of the chunk.
void run_block(const Int8Kernel& kernel, const MatmulCall& call, const ActivationGroup* x, int64_t chunk_begin,
               int64_t token_begin, int64_t token_end, int64_t row_begin, int64_t row_end, Scratch& scratch) {
  const Weight& w = call.w;
  const int64_t bytes = row_bytes(w.type, w.cols), n_tile_groups = tile_groups(w.cols);
  start_sums(call, chunk_begin + token_begin, chunk_begin + token_end, row_begin, row_end);
  for (int64_t col = 0; col < w.cols; col += kPanelCols) {
    const int64_t n_cols = std::min(kPanelCols, w.cols - col);
    for (int64_t row = row_begin, p = 0; row < row_end; row += kInt8Rows, ++p) {
      const int n_rows = int(std::min<int64_t>(kInt8Rows, row_end - row));
      WeightUnit* panel = scratch.panels[p];
      kernel.unpack(static_cast<const uint8_t*>(weight_at(w, row, col)), bytes, n_rows, n_cols, panel);
      for (int64_t t = token_begin; t < token_end; t += kInt8Tokens) {
        const ActivationGroup* tile = x + t / kInt8Tokens * n_tile_groups + col / kGroupCols;
        const int64_t token = chunk_begin + t;
        kernel.run(panel, tile, tile_groups(n_cols), int(std::min<int64_t>(kInt8Tokens, token_end - t)), n_rows,
                   call.y.row(token) + row, call.y.stride_elems);
      }
    }
  }
}

}  // namespace

int64_t int8_path_bytes(int64_t max_tokens, int64_t max_cols, int n_threads) {
  return activation_bytes(std::min(max_tokens, kChunkTokens), max_cols) + int64_t(sizeof(Scratch)) * n_threads;
}

void matmul_int8(PackTileFn pack, const Int8Kernel& kernel, const MatmulCall& call) {
  const int64_t n_rows = call.w.rows, n_tile_groups = tile_groups(call.w.cols);
  const int64_t chunk = std::min(call.x.rows, kChunkTokens);
  CHECK(int64_t(call.workspace.size()) >= int8_path_bytes(chunk, call.w.cols, call.pool.size()));
  auto* x = reinterpret_cast<ActivationGroup*>(call.workspace.data());
  auto* scratch = reinterpret_cast<Scratch*>(call.workspace.data() + activation_bytes(chunk, call.w.cols));
  for (int64_t begin = 0; begin < call.x.rows; begin += kChunkTokens) {
    const int64_t n_tokens = std::min(kChunkTokens, call.x.rows - begin);
    call.pool.parallel_for(div_up(n_tokens, kInt8Tokens), [&](int64_t tile, int) {
      const int64_t t = tile * kInt8Tokens;
      pack(call.x.row(begin + t), call.x.stride_elems, int(std::min<int64_t>(kInt8Tokens, n_tokens - t)), call.w.cols,
           x + tile * n_tile_groups);
    });
    // Large blocks reuse the activations in the L2 cache; small ones keep every thread busy. The division cannot show
    // in the result, as a sum's order depends on its own row and token only.
    const int64_t n_panels = div_up(n_rows, kInt8Rows), wanted = 4 * int64_t(call.pool.size());
    const int64_t task_panels = std::clamp<int64_t>(n_panels / wanted, 1, kTaskPanels);
    const int64_t row_blocks = div_up(n_panels, task_panels);
    const int64_t token_blocks = std::clamp<int64_t>(wanted / row_blocks, 1, div_up(n_tokens, 8 * kInt8Tokens));
    const int64_t block_tokens = div_up(div_up(n_tokens, token_blocks), kInt8Tokens) * kInt8Tokens;
    call.pool.parallel_for(row_blocks * token_blocks, [&](int64_t task, int worker) {
      const int64_t row = task / token_blocks * task_panels * kInt8Rows;
      const int64_t t = task % token_blocks * block_tokens;
      if (t >= n_tokens) return;
      run_block(kernel, call, x, begin, t, std::min(n_tokens, t + block_tokens), row,
                std::min(n_rows, row + task_panels * kInt8Rows), scratch[worker]);
    });
  }
}

}  // namespace reform::cpu
