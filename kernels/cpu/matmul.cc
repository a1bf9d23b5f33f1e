#include "kernels/cpu/matmul.h"

#include "base/try.h"
#include "kernels/cpu/matmul_paths.h"

namespace reform::cpu {
namespace {

static_assert(kQuantTypes == int(QuantType::kCount), "a new type needs its row in the kernels' tables");

// What an instruction set brings; the arrays have one entry per QuantType, a null pointer where the panels take over.
struct Kernels {
  const FloatKernel& float_panels;
  const FillPanelFn* fill_panel = nullptr;
  PackTileFn pack_tile = nullptr;
  const Int8Kernel* int8 = nullptr;
  PackRowFn pack_row = nullptr;
  const MatVecFn* matvec = nullptr;
  const FloatMatVecFn* matvec_float = nullptr;
};

const Kernels& kernels([[maybe_unused]] Isa isa) {
  static const Kernels portable{.float_panels = kFloatKernelPortable};
#if defined(__x86_64__)
  static const Kernels avx2{.float_panels = kFloatKernelAvx2,
                            .fill_panel = kFillPanelAvx2,
                            .pack_row = pack_row_avx2,
                            .matvec = kMatVecAvx2,
                            .matvec_float = kFloatMatVecAvx2};
  static const Kernels avx512{.float_panels = kFloatKernelAvx512,
                              .fill_panel = kFillPanelAvx2,
                              .pack_tile = pack_tile_avx512,
                              .int8 = kInt8Avx512,
                              .pack_row = pack_row_avx512,
                              .matvec = kMatVecAvx512,
                              .matvec_float = kFloatMatVecAvx512};
  if (isa == Isa::kAvx2) return avx2;
  if (isa == Isa::kAvx512) return avx512;
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
  const Kernels& k = kernels(isa);
  const size_t type = size_t(w.type);
  if (x.rows <= kMaxMatVecTokens && k.matvec != nullptr) {
    if (k.matvec[type] != nullptr) return matmul_matvec(k.pack_row, k.matvec[type], call);
    if (k.matvec_float[type] != nullptr) return matmul_float_matvec(k.matvec_float[type], call);
  }
  if (k.int8 != nullptr && k.int8[type].run != nullptr) return matmul_int8(k.pack_tile, k.int8[type], call);
  matmul_float(k.float_panels, k.fill_panel == nullptr ? nullptr : k.fill_panel[type], call);
}

}  // namespace reform::cpu
