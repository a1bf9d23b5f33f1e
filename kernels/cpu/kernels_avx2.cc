#include "kernels/cpu/simd_avx2.h"
//
#include "kernels/cpu/kernels.inl.h"

namespace reform::cpu {

const CpuKernels& kernels_avx2() {
  static constexpr CpuKernels kKernels =
      with_score(packed_query_bytes_avx2, pack_queries_avx2, score_avx2, best_cosines_avx2);
  return kKernels;
}

}  // namespace reform::cpu
