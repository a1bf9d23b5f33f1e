// Merges slots of a cache: Ops::merge_kv on threads.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/ops.h"

namespace reform {
class ThreadPool;
}

namespace reform::cpu {

int64_t merge_workspace_bytes(const OpLimits& limits, int n_threads);

// The result has the same bits for any number of threads. workspace 64-byte aligned.
void merge_kv(const CpuKernels& kernels, ThreadPool& pool, const KvView& kv, bool has_merged,
              std::span<const int32_t> singles, std::span<float> weights, std::span<float> bias,
              std::span<std::byte> workspace);

}  // namespace reform::cpu
