// What a kernel file includes: the words of CUDA that it uses. Only this file tells nvcc from a plain C++ compiler. For
// the latter a test build supplies its own words (tests/kernels/cuda/emulated.h).
#pragma once

// A test program holds kernels from both compilers. Each side has its own namespace, so that the linker keeps them
// apart.
#ifndef __CUDACC__
#define REFORM_CUDA_SIDE on_host
#include REFORM_CUDA_EMULATION
#else
#define REFORM_CUDA_SIDE on_chip
// Stands before a loop whose arrays should stay in registers.
#define REFORM_UNROLL _Pragma("unroll")

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// Where this is false, sizes are small: tests then have several tiles, splits and panels, and finish soon.
inline constexpr bool kOnChip = true;
using Stream = cudaStream_t;
using Dim = dim3;

// Issues a kernel in the stream's order. A failed launch shows when someone next waits for the stream; only the device
// calls cudaGetLastError().
template <class... Params>
void launch(Stream stream, void (*kernel)(Params...), Dim n_blocks, Dim n_threads, int shared_bytes,
            std::type_identity_t<Params>... args) {
  if (shared_bytes > 48 * 1024) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  // clang-format off
  kernel<<<n_blocks, n_threads, size_t(shared_bytes), stream>>>(args...);
  // clang-format on
}

// Words that one instruction reads or writes.
struct alignas(16) Words4 {
  uint32_t w[4];
};
struct alignas(8) Words2 {
  uint32_t w[2];
};

__device__ __forceinline__ void meet_block() { __syncthreads(); }
__device__ __forceinline__ void meet_warp() { __syncwarp(); }
template <class T = char>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(64) char memory[];
  return reinterpret_cast<T*>(memory);
}
__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return uint32_t(__cvta_generic_to_shared(shared));
}
template <class T>
__device__ __forceinline__ T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// Bit l of the result is lane l's `mine`.
__device__ __forceinline__ uint32_t ballot(bool mine) { return __ballot_sync(0xffffffffu, mine); }
__device__ __forceinline__ int count_bits(uint32_t bits) { return __popc(bits); }

__device__ __forceinline__ float bits_to_float(uint32_t bits) { return __uint_as_float(bits); }
__device__ __forceinline__ uint32_t float_to_bits(float f) { return __float_as_uint(f); }
__device__ __forceinline__ float half_to_float(uint16_t h) { return __half2float(__ushort_as_half(h)); }
__device__ __forceinline__ uint16_t float_to_half(float f) { return __half_as_ushort(__float2half_rn(f)); }
__device__ __forceinline__ uint16_t float_to_bfloat(float f) { return __bfloat16_as_ushort(__float2bfloat16_rn(f)); }
// `low` goes to the lower half.
__device__ __forceinline__ uint32_t pack_halves(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
// Two e4m3 codes, rounded to nearest even; values beyond the largest, 448, become 448. `low` goes to the lower byte.
__device__ __forceinline__ uint32_t code_pair(float low, float high) {
  return __nv_cvt_float2_to_fp8x2(float2{low, high}, __NV_SATFINITE, __NV_E4M3);
}
// 2^x with a relative error of 2^-22. Results below the smallest normal number are zero.
__device__ __forceinline__ float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ int dot4(int a, int b, int sum) { return __dp4a(a, b, sum); }
// A product that is rounded before anything is added to it, as the formats' definitions demand.
__device__ __forceinline__ float round_product(float a, float b) { return __fmul_rn(a, b); }

// Copies 16 bytes from global to shared memory, both 16-byte aligned, without a register between. Only the first
// `n_bytes` are read; the rest become zero. This thread sees them after it has waited for their group. Other threads
// see them after they have met it after that wait.
__device__ __forceinline__ void copy_async(void* shared, const void* global, int n_bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(n_bytes)
               : "memory");
}
// Ends a group of this thread's copies. The group may be empty.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most the last kLeft groups of this thread are under way.
template <int kLeft>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Loads four 8 x 8 matrices of 16-bit elements from shared memory. Lane 8 i + r passes the address of row r of matrix i
// (16-byte aligned). Of each matrix a lane gets the element (lane / 4, 2 (lane % 4)) and the next one in that row.
// Transposed: the next one in the column.
__device__ __forceinline__ void load_matrices(uint32_t (&m)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&m)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(shared_address(row))
               : "memory");
}

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
