#include "kernels/cpu/matmul.h"

#include "base/try.h"
#include "kernels/cpu/matmul_paths.h"

namespace reform::cpu {

void start_sums(const MatmulCall& call, int64_t token_begin, int64_t token_end, int64_t row_begin, int64_t row_end) {
  for (int64_t t = token_begin; t < token_end; ++t) {
    float* y = call.y.row(t);
    if (!call.accumulate) {
      if (call.bias.empty()) {
        std::fill(y + row_begin, y + row_end, 0.0f);
      } else {
        std::copy(call.bias.begin() + row_begin, call.bias.begin() + row_end, y + row_begin);
      }
    } else if (!call.bias.empty()) {
      for (int64_t r = row_begin; r < row_end; ++r) y[r] += call.bias[size_t(r)];
    }
  }
}

int64_t matmul_workspace_bytes(Isa isa, int64_t, int64_t, int n_threads) {
  return isa == Isa::kRef ? 0 : float_path_bytes(n_threads);
}

void matmul(Isa isa, const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
            MatView<float> y, ThreadPool& pool, std::span<std::byte> workspace) {
  CHECK(x.cols == w.cols && y.cols == w.rows && x.rows == y.rows);
  CHECK(bias.empty() || int64_t(bias.size()) == w.rows);
  CHECK(w.cols % geometry(w.type).block_elems == 0);
  const MatmulCall call{w, x, bias, accumulate, y, pool, workspace};
  if (isa == Isa::kRef) return matmul_reference(call);
  matmul_float(kFloatKernelPortable, call);
}

}  // namespace reform::cpu
