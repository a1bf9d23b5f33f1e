#include "kernels/cpu/matmul.h"

#include "base/try.h"
#include "kernels/cpu/matmul_paths.h"

namespace reform::cpu {
namespace {

// The kernels of one instruction set.
struct Kernels {
  const FloatKernel& float_panels;
  PackTileFn pack_tile = nullptr;
  PackRowFn pack_row = nullptr;
  PerType<FillPanelFn> fill_panel = {};
  PerType<Int8Kernel> int8 = {};
  PerType<MatVecFn> matvec = {};
  PerType<FloatMatVecFn> matvec_float = {};
};

const Kernels& kernels([[maybe_unused]] Isa isa) {
  static const Kernels portable{.float_panels = kFloatKernelPortable};
#if defined(__x86_64__)
  static const Kernels avx2{.float_panels = kFloatKernelAvx2,
                            .pack_row = pack_row_avx2,
                            .fill_panel = kFillPanelAvx2,
                            .matvec = kMatVecAvx2,
                            .matvec_float = kFloatMatVecAvx2};
  static const Kernels avx512{.float_panels = kFloatKernelAvx512,
                              .pack_tile = pack_tile_avx512,
                              .pack_row = pack_row_avx512,
                              .fill_panel = kFillPanelAvx2,
                              .int8 = kInt8Avx512,
                              .matvec = kMatVecAvx512,
                              .matvec_float = kFloatMatVecAvx512};
  if (isa == Isa::kAvx2) return avx2;
  if (isa >= Isa::kAvx512) return avx512;
#endif
  return portable;
}

}  // namespace

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
  if (isa >= Isa::kAvx512) bytes = std::max(bytes, int8_path_bytes(max_tokens, max_cols, n_threads));
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
  const Kernels& k = kernels(isa);
  const size_t type = size_t(w.type);
  if (x.rows <= kMaxMatVecTokens) {
    if (k.matvec.of[type] != nullptr) return matmul_matvec(k.pack_row, k.matvec.of[type], call);
    if (k.matvec_float.of[type] != nullptr) return matmul_float_matvec(k.matvec_float.of[type], call);
  }
  if (k.int8.of[type].run != nullptr) return matmul_int8(k.pack_tile, k.int8.of[type], call);
  matmul_float(k.float_panels, k.fill_panel.of[type], call);
}

}  // namespace reform::cpu
