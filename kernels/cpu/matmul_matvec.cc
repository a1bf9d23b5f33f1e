// The decode path: a matrix times up to kMaxMatVecTokens vectors, directly on the stored blocks.
#include <algorithm>

#include "base/try.h"
#include "kernels/cpu/matmul_paths.h"

namespace reform::cpu {
namespace {

// A task's share of the weights: some 10 us of reading. A matrix of less than two such shares is not worth waking a
// thread.
constexpr int64_t kTaskBytes = 128 << 10;

int64_t units(int64_t cols) { return (cols + kUnitCols - 1) / kUnitCols; }

// Calls rows(begin, end) over all rows, on the pool if there is enough to do.
template <class Rows>
void for_row_ranges(const MatmulCall& call, Rows rows) {
  const int64_t bytes = std::max<int64_t>(1, row_bytes(call.w.type, call.w.cols));
  const int64_t task_rows = std::max<int64_t>(1, kTaskBytes / bytes);
  const int64_t n_tasks = (call.w.rows + task_rows - 1) / task_rows;
  call.pool.parallel_for(n_tasks, [&](int64_t task, int) {
    const int64_t begin = task * task_rows, end = std::min(call.w.rows, begin + task_rows);
    start_sums(call, 0, call.x.rows, begin, end);
    rows(begin, end);
  });
}

}  // namespace

int64_t matvec_path_bytes(int64_t max_tokens, int64_t max_cols) {
  return std::min<int64_t>(max_tokens, kMaxMatVecTokens) * units(max_cols) * int64_t(sizeof(ActivationUnit));
}

void matmul_matvec(PackRowFn pack, MatVecFn run, const MatmulCall& call) {
  const int64_t n_tokens = call.x.rows, n_units = units(call.w.cols);
  CHECK(n_tokens <= kMaxMatVecTokens);
  CHECK(int64_t(call.workspace.size()) >= matvec_path_bytes(n_tokens, call.w.cols));
  auto* x = reinterpret_cast<ActivationUnit*>(call.workspace.data());
  for (int64_t t = 0; t < n_tokens; ++t) pack(call.x.row(t), call.w.cols, x + t * n_units);
  const int64_t bytes = row_bytes(call.w.type, call.w.cols);
  for_row_ranges(call, [&](int64_t begin, int64_t end) {
    run(static_cast<const uint8_t*>(weight_at(call.w, begin, 0)), bytes, end - begin, call.w.cols, x, n_units,
        int(n_tokens), call.y.data + begin, call.y.stride_elems);
  });
}

void matmul_float_matvec(FloatMatVecFn run, const MatmulCall& call) {
  CHECK(call.x.rows <= kMaxMatVecTokens);
  const int64_t bytes = row_bytes(call.w.type, call.w.cols);
  for_row_ranges(call, [&](int64_t begin, int64_t end) {
    run(static_cast<const uint8_t*>(weight_at(call.w, begin, 0)), bytes, end - begin, call.w.cols, call.x.data,
        call.x.stride_elems, int(call.x.rows), call.y.data + begin, call.y.stride_elems);
  });
}

}  // namespace reform::cpu
