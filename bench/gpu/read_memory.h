// A kernel that only reads: it gives the bandwidth with which others are compared.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace reform::bench {

// `data` 16-byte aligned; `out` one word, written in one case of 2^32.
void launch_read(const void* data, int64_t bytes, uint32_t* out, int n_multiprocessors, cudaStream_t stream);

}  // namespace reform::bench
