#include "kernels/cpu/simd_portable.h"
//
#include "kernels/cpu/kernels.inl.h"

namespace reform::cpu {

const CpuKernels& kernels_portable() {
  static constexpr CpuKernels kKernels =
      with_score(packed_query_bytes_portable, pack_queries_portable, score_portable, best_cosines_portable);
  return kKernels;
}

}  // namespace reform::cpu
