// Attention by its definition: every probability is computed in double from the cached keys. Quadratic, one thread.
#pragma once

#include "kernels/ops.h"

namespace reform::reference {

// Rotates one head x[head_dim] in place, by the angles of `slot`. RoPE: arXiv 2104.09864, section 3.4.2.
void rotate(const Rope& rope, int64_t slot, std::span<double> x);

// Scaled dot-product attention (arXiv 1706.03762, section 3.2.1); arguments as Ops::attention.
void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse);

// Accumulated attention (H2O, arXiv 2306.14048, section 4.2); arguments as Ops::attention_column_sums.
void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, std::span<const int32_t> query_rows,
                           std::span<const float> query_weights, std::span<float> column_sums);

}  // namespace reform::reference
