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

int64_t matmul_workspace_bytes(Isa isa, int64_t max_tokens, int64_t max_cols, int n_threads) {
  if (isa == Isa::kRef) return 0;
  int64_t bytes = float_path_bytes(n_threads);
  if (isa == Isa::kAvx512) bytes = std::max(bytes, int8_path_bytes(max_tokens, max_cols, n_threads));
  if (isa != Isa::kPortable) bytes = std::max(bytes, matvec_path_bytes(max_tokens, max_cols));
  return bytes;
}

void matmul(Isa isa, const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
            MatView<float> y, ThreadPool& pool, std::span<std::byte> workspace) {
  CHECK(x.cols == w.cols && y.cols == w.rows && x.rows == y.rows);
  CHECK(bias.empty() || int64_t(bias.size()) == w.rows);
  CHECK(w.cols % geometry(w.type).block_elems == 0);
  const MatmulCall call{w, x, bias, accumulate, y, pool, workspace};
  if (isa == Isa::kRef) return matmul_reference(call);
  const bool few = x.rows <= kMaxMatVecTokens;
  if (isa == Isa::kAvx512 && few && kMatVecAvx512[size_t(w.type)] != nullptr) {
    return matmul_matvec(pack_row_avx512, kMatVecAvx512[size_t(w.type)], call);
  }
  if (isa == Isa::kAvx512 && few && kFloatMatVecAvx512[size_t(w.type)] != nullptr) {
    return matmul_float_matvec(kFloatMatVecAvx512[size_t(w.type)], call);
  }
  if (isa == Isa::kAvx512 && kUnpackPanelAvx512[size_t(w.type)] != nullptr) {
    return matmul_int8({pack_tile_avx512, kUnpackPanelAvx512[size_t(w.type)], int8_run_avx512}, call);
  }
  matmul_float(isa == Isa::kAvx512 ? kFloatKernelAvx512
               : isa == Isa::kAvx2 ? kFloatKernelAvx2
                                   : kFloatKernelPortable,
               call);
}

}  // namespace reform::cpu
