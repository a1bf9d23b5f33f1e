// kernels/cuda/port.h for a plain C++ compiler. A block's threads are fibers of one thread, which switch at barriers.
// So tests check a kernel's logic (indices, barriers, shuffles, the layout of tensor-core fragments) without a GPU.
// They do not check speed, races between blocks, or a chip's own rounding.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#include "base/float16.h"
#include "base/float8.h"
#include "base/try.h"

// NOLINTBEGIN(bugprone-reserved-identifier): the words are CUDA's
#define __global__ inline  // several files of a program include this
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after another
#define REFORM_UNROLL
#define REFORM_HAS_WARPGROUPS
#define REFORM_DEFINES_WARPGROUP_KERNELS
// NOLINTEND(bugprone-reserved-identifier)

namespace reform::cuda {

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};
struct alignas(16) Words4 {
  uint32_t w[4];
};
struct alignas(8) Words2 {
  uint32_t w[2];
};

namespace emulated {

// What the running fiber sees.
struct Place {
  Dim thread, block, n_threads, n_blocks;
};
extern thread_local const Place* place;
extern thread_local char* shared_memory;

// If set, it is called in place of each launch. run() is the kernel with its arguments. It may be called at once,
// later, or never.
extern thread_local std::function<void(void* stream, const void* kernel, const std::function<void()>& run)> on_launch;
// Runs body() once per thread of each block. All threads of the block or warp that still run must reach every barrier.
// If not, a chip would deadlock; here the program ends.
void run_grid(Dim n_blocks, Dim n_threads, int64_t shared_bytes, const std::function<void()>& body);
void meet_block();
void meet_warp();
// Passes `bytes` of this lane's data to all lanes of the warp. slot(l) is lane l's, until the next exchange.
const char* exchange(const void* mine, int bytes);
constexpr int kSlotBytes = 64;

// The running thread's copies (copy_async). A chip makes a copy at any time between its start and the wait for it. Here
// the wait makes it, which shows reads that come too early. With `copies_at_once` the start makes it, which shows
// memory that is overwritten too early.
extern thread_local bool copies_at_once;
void copy_async(void* to, const void* from, int n_bytes);
void commit_copies();
void wait_copies(int n_left);

// The running thread's share of a warpgroup's product. It is made when it is issued or, with `copies_at_once`, at the
// wait for it, so that one of the two shows memory or registers that are used too early. Both fences must have been
// passed: begin_products() since the thread last waited for products, and show_to_products() by every thread of the
// block since it last waited for copies.
void begin_products();
void show_to_products();
void start_product(std::function<void()> make);
void commit_products();
void wait_products(int n_left);
uint32_t shared_address(const void* shared);
// The element of a factor in shared memory (Factor in warpgroup.cuh) at row or column i of the product and depth k.
uint16_t of_factor(uint64_t bits, bool by_columns, int i, int k);

}  // namespace emulated

inline constexpr bool kOnChip = false;
using Stream = void*;

template <class... Params>
void launch(Stream stream, void (*kernel)(Params...), Dim n_blocks, Dim n_threads, int shared_bytes,
            std::type_identity_t<Params>... args) {
  const auto run = [=] { emulated::run_grid(n_blocks, n_threads, shared_bytes, [&] { kernel(args...); }); };
  emulated::on_launch ? emulated::on_launch(stream, reinterpret_cast<const void*>(kernel), run) : run();
}

inline void meet_block() { emulated::meet_block(); }
inline void meet_warp() { emulated::meet_warp(); }
template <class T = char>
T* dynamic_shared() {
  return reinterpret_cast<T*>(emulated::shared_memory);
}

inline uint32_t shared_address(const void* shared) { return emulated::shared_address(shared); }

template <class T>
T shuffle_xor(T value, int mask) {
  const char* slots = emulated::exchange(&value, sizeof(T));
  const int lane = int(emulated::place->thread.x % 32) ^ mask;
  T other;
  std::memcpy(&other, slots + lane * emulated::kSlotBytes, sizeof(T));
  return other;
}

inline void copy_async(void* shared, const void* global, int n_bytes = 16) {
  emulated::copy_async(shared, global, n_bytes);
}
inline void commit_copies() { emulated::commit_copies(); }
template <int kLeft>
void wait_copies() {
  emulated::wait_copies(kLeft);
}

// PTX's ldmatrix.x4 (PTX ISA, "Warp-level matrix load instruction: ldmatrix").
inline void load_matrices(uint32_t (&m)[4], const void* row, bool transposed = false) {
  const char* slots = emulated::exchange(&row, sizeof row);
  const int lane = int(emulated::place->thread.x % 32);
  const auto at = [&](int matrix, int r, int c) {
    const uint16_t* from;
    std::memcpy(&from, slots + (8 * matrix + r) * emulated::kSlotBytes, sizeof from);
    return uint32_t(from[c]);
  };
  for (int i = 0; i < 4; ++i) {
    const int own = lane / 4, pair = lane % 4 * 2;
    m[i] = transposed ? at(i, pair, own) | at(i, pair + 1, own) << 16 : at(i, own, pair) | at(i, own, pair + 1) << 16;
  }
}
inline void load_matrices_transposed(uint32_t (&m)[4], const void* row) { load_matrices(m, row, true); }

inline uint32_t ballot(bool mine) {
  const char* slots = emulated::exchange(&mine, sizeof mine);
  uint32_t bits = 0;
  for (int lane = 0; lane < 32; ++lane) bits |= uint32_t(slots[lane * emulated::kSlotBytes] != 0) << lane;
  return bits;
}
inline int count_bits(uint32_t bits) { return std::popcount(bits); }

inline float bits_to_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t float_to_bits(float f) { return std::bit_cast<uint32_t>(f); }
inline float half_to_float(uint16_t h) { return f16_to_f32(h); }
inline uint16_t float_to_half(float f) { return f32_to_f16(f); }
inline uint16_t float_to_bfloat(float f) { return f32_to_bf16(f); }
inline uint32_t pack_halves(float low, float high) {
  return uint32_t(float_to_half(low)) | uint32_t(float_to_half(high)) << 16;
}
inline uint32_t code_pair(float low, float high) {
  return uint32_t(f32_to_e4m3(low)) | uint32_t(f32_to_e4m3(high)) << 8;
}
inline float power_of_two(float x) { return exp2f(x); }
using std::max, std::min;
inline int dot4(int a, int b, int sum) {
  for (int i = 0; i < 4; ++i) sum += int(int8_t(a >> (8 * i))) * int(int8_t(b >> (8 * i)));
  return sum;
}
inline float round_product(float a, float b) { return a * b; }

// d += a b, [16, 16] x [16, 8]: PTX's mma.m16n8k16 with the lanes' shares that it defines (PTX ISA, "Matrix fragments
// for mma.m16n8k16").
template <class ToFloat>
void multiply_fragments(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], ToFloat to_float) {
  const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  const char* slots = emulated::exchange(mine, sizeof mine);
  const auto word = [&](int lane, int i) {
    uint32_t w;
    std::memcpy(&w, slots + lane * emulated::kSlotBytes + 4 * i, 4);
    return w;
  };
  const auto part = [&](uint32_t w, int k) { return to_float(uint16_t(k % 2 ? w >> 16 : w)); };
  const auto a_at = [&](int row, int k) { return part(word(row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2), k); };
  const auto b_at = [&](int k, int col) { return part(word(col * 4 + k % 8 / 2, 4 + k / 8), k); };
  const int lane = int(emulated::place->thread.x % 32), group = lane / 4, in_group = lane % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = group + 8 * (i / 2), col = 2 * in_group + i % 2;
    float sum = 0;
    for (int k = 0; k < 16; ++k) sum += a_at(row, k) * b_at(k, col);
    d[i] += sum;
  }
}
inline void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  multiply_fragments(d, a, b, f16_to_f32);
}
inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  multiply_fragments(d, a, b, bf16_to_f32);
}

// --- a warpgroup's products (kernels/cuda/warpgroup.cuh)

inline void show_to_products() { emulated::show_to_products(); }
inline void begin_products() {
  meet_warp();
  emulated::begin_products();
}
inline void commit_products() { emulated::commit_products(); }
template <int kLeft>
void wait_products() {
  emulated::wait_products(kLeft);
}
template <int kTiles>
void settle(float (&)[kTiles][4]) {}
inline void compute_first(float, void*) {}

// The thread's two rows of a product. Elements are read from shared memory where PTX says that they lie.
template <int kTiles, class Left, class Factor>
void multiply_rows(float (&d)[kTiles][4], Left left, Factor b, bool b_by_columns, bool add) {
  emulated::start_product([&d, left, b, b_by_columns, add] {
    const int pair = int(emulated::place->thread.x % 4) * 2;
    float a[2][16];
    for (int k = 0; k < 16; ++k) a[0][k] = left(0, k), a[1][k] = left(1, k);
    for (int n = 0; n < kTiles; ++n) {
      for (int i = 0; i < 4; ++i) {
        const int column = n * 8 + pair + i % 2;
        float sum = 0;
        for (int k = 0; k < 16; ++k) {
          sum += a[i / 2][k] * f16_to_f32(emulated::of_factor(b.bits, b_by_columns, column, k));
        }
        d[n][i] = add ? d[n][i] + sum : sum;
      }
    }
  });
}
template <int kTiles, class Factor>
void multiply(float (&d)[kTiles][4], Factor a, Factor b, bool add) {
  const int lane = int(emulated::place->thread.x % 32), own = int(emulated::place->thread.x % 128) / 32 * 16 + lane / 4;
  const auto left = [a, own](int r, int k) { return f16_to_f32(emulated::of_factor(a.bits, false, own + 8 * r, k)); };
  multiply_rows(d, left, b, false, add);
}
template <bool kByColumns, int kTiles, class Factor>
void multiply_own(float (&d)[kTiles][4], const uint32_t (&a)[4], Factor b, bool add) {
  const char* slots = emulated::exchange(a, sizeof a);
  std::array<uint32_t, 16> quad;  // the words of the four lanes that share these rows
  const int first = int(emulated::place->thread.x % 32) / 4 * 4;
  for (int l = 0; l < 4; ++l) std::memcpy(quad.data() + 4 * l, slots + (first + l) * emulated::kSlotBytes, sizeof a);
  const auto left = [quad](int r, int k) {
    const uint32_t word = quad.data()[4 * (k % 8 / 2) + r + k / 8 * 2];
    return f16_to_f32(uint16_t(k % 2 ? word >> 16 : word));
  };
  const std::array<uint32_t, 4> mine{a[0], a[1], a[2], a[3]};
  // a must not change until the product is made.
  emulated::start_product([&a, mine] { CHECK(std::memcmp(a, mine.data(), sizeof mine) == 0); });
  multiply_rows(d, left, b, kByColumns, add);
}

}  // namespace reform::cuda

#define threadIdx (::reform::cuda::emulated::place->thread)
#define blockIdx (::reform::cuda::emulated::place->block)
#define blockDim (::reform::cuda::emulated::place->n_threads)
#define gridDim (::reform::cuda::emulated::place->n_blocks)
