#include "kernels/cpu/simd_avx512.h"
//
#include "kernels/cpu/kernels.inl.h"

namespace reform::cpu {

const CpuKernels& kernels_avx512() {
  static constexpr CpuKernels kKernels =
      with_score(packed_query_bytes_avx512, pack_queries_avx512, score_avx512, best_cosines_avx512);
  return kKernels;
}

}  // namespace reform::cpu
