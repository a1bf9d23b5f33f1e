// y = x W^T for every weight type, on threads. CpuOps::matmul calls this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/ops.h"

namespace reform::cpu {

// Bytes for at most max_tokens rows of at most max_cols inputs.
int64_t matmul_workspace_bytes(Isa isa, int64_t max_tokens, int64_t max_cols, int n_threads);

// y[t, r] (+)= sum_c x[t, c] * w[r, c] + bias[r]. The same bits for any number of threads.
void matmul(Isa isa, const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
            MatView<float> y, ThreadPool& pool, std::span<std::byte> workspace);

}  // namespace reform::cpu
