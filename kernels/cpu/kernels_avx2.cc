#include "kernels/cpu/simd_avx2.h"
//
#include "kernels/cpu/elementwise.inl.h"
//
#include "kernels/cpu/attention.inl.h"
#include "kernels/cpu/score.h"

namespace reform::cpu {

const CpuKernels& kernels_avx2() {
  static constexpr CpuKernels kKernels = {rms_norm,
                                          silu_gate,
                                          gelu_gate,
                                          add,
                                          scale,
                                          rotate,
                                          to_f16_row,
                                          normalise_quantise,
                                          pack_keys,
                                          pack_values,
                                          attend,
                                          column_sums,
                                          packed_query_bytes_avx2,
                                          pack_queries_avx2,
                                          score_avx2};
  return kKernels;
}

}  // namespace reform::cpu
