// The table of an instruction set's kernels. Included by kernels_*.cc after its simd_*.h.
#pragma once

#include "kernels/cpu/elementwise.inl.h"
//
#include "kernels/cpu/attention.inl.h"
#include "kernels/cpu/score.h"

namespace reform::cpu {
namespace {

// The kernels of the scores have files and names of their own.
consteval CpuKernels with_score(int64_t (*packed_query_bytes)(int64_t, int64_t, int64_t),
                                void (*pack_queries)(const int8_t*, const float*, int64_t, int64_t, int64_t, void*),
                                void (*score)(const ScoreArgs&, float*),
                                void (*best_cosines)(const ScoreArgs&, int64_t, float*)) {
  return {.rms_norm = rms_norm,
          .silu_gate = silu_gate,
          .gelu_gate = gelu_gate,
          .add = add,
          .scale = scale,
          .rotate = rotate,
          .to_f16 = to_f16_row,
          .normalise_quantise = normalise_quantise,
          .pack_keys = pack_keys,
          .pack_values = pack_values,
          .attend = attend,
          .column_sums = column_sums,
          .packed_query_bytes = packed_query_bytes,
          .pack_queries = pack_queries,
          .score = score,
          .best_cosines = best_cosines};
}

}  // namespace
}  // namespace reform::cpu
