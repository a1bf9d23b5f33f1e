// Attention's way with many rows, and the column sums', where there is a matrix unit. How they are divided into tasks
// is as without one: attention.cc, column_sums.cc.
#pragma once

#include "kernels/cpu/attention_call.h"
#include "kernels/cpu/matrix_kernels.h"

namespace reform::cpu {

// Attends rows [begin, end) of a KV head, at most kTaskRows, to `tiles`, which lie packed one after the other. s.max,
// s.sum and s.out are as start_rows() leaves them.
void attend_matrix_rows(const MatrixKernels& kernels, const Call& call, int64_t kv_head, SlotRange rows,
                        SlotRange tiles, const float* packed, const Scratch& s);
// Then: the numerators of the row that is `row` rows after the first; valid until the next call. Its denominator is
// s.sum[row].
const float* matrix_numerators(const Call& call, int64_t row, const Scratch& s);

// Adds to sums [kSumTiles * kTileSlots] those of `chosen` queries of query head `head`, against s.k_tiles.
void add_matrix_head(const MatrixKernels& kernels, const ColumnCall& columns, int64_t head, SlotRange slots,
                     SlotRange chosen, const float* const* biases, const Scratch& s, float* sums);

}  // namespace reform::cpu
