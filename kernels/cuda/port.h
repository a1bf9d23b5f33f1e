// What a kernel file includes: CUDA under nvcc, its emulation under a plain C++ compiler. The few words that differ
// between the two have one name here.
#pragma once

// A test program holds both, so what is compiled by one has not the same names as what is compiled by the other.
#ifndef __CUDACC__
#define REFORM_CUDA_SIDE on_host
#include "kernels/cuda/emulated.h"
#else
#define REFORM_CUDA_SIDE on_chip

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

using Dim = dim3;

__device__ __forceinline__ void meet_block() { __syncthreads(); }
__device__ __forceinline__ void meet_warp() { __syncwarp(); }
template <class T = char>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(64) char memory[];
  return reinterpret_cast<T*>(memory);
}
template <class T>
__device__ __forceinline__ T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

__device__ __forceinline__ float half_to_float(uint16_t h) { return __half2float(__ushort_as_half(h)); }
__device__ __forceinline__ uint16_t float_to_half(float f) { return __half_as_ushort(__float2half_rn(f)); }
__device__ __forceinline__ uint16_t float_to_bfloat(float f) { return __bfloat16_as_ushort(__float2bfloat16_rn(f)); }
__device__ __forceinline__ int dot4(int a, int b, int sum) { return __dp4a(a, b, sum); }
// A product that is rounded before it is added: what the formats' definitions say.
__device__ __forceinline__ float round_product(float a, float b) { return __fmul_rn(a, b); }

__device__ __forceinline__ void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda

#endif
