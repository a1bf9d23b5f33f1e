// Products of a warpgroup: four warps, the first of which has a number divisible by four. A product is 64 rows by up to
// 256 columns at a depth of 16, FP32 += F16 * F16 (wgmma: PTX ISA, "Asynchronous warpgroup level matrix
// multiply-accumulate"). Only compute capability 9.0a has it; elsewhere a kernel that uses it is empty. The right
// factor lies in shared memory. The left one lies there too, or in registers as mma_f16 takes it. Warp w has rows 16 w
// to 16 w + 15 of the result, as mma_f16 gives them.
#pragma once

#include "kernels/cuda/port.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// A panel: rows of 64 elements (128 bytes) in shared memory, from a multiple of 1024 bytes on. Piece c (16 bytes) of
// row r lies at place c ^ r % 8 ("128-byte swizzling"), so that a column's eight rows lie in different banks.
constexpr int kPanelColumns = 64, kPanelAlign = 1024;
__device__ __forceinline__ int in_panel(int row, int column) {
  return row * kPanelColumns + ((column / 8 ^ row % 8) * 8 | column % 8);
}

// Where element (row, column) of [kRows, columns] lies, stored as one panel after another.
template <int kRows>
__device__ __forceinline__ int in_panels(int row, int column) {
  return column / kPanelColumns * kRows * kPanelColumns + in_panel(row, column % kPanelColumns);
}

// Where `column` begins in row 0 of its panel, before swizzling. The hardware counts 16 columns on from there and
// swizzles the addresses itself.
template <int kRows>
__device__ __forceinline__ constexpr int in_panel_start(int column) {
  return column / kPanelColumns * kRows * kPanelColumns + column % kPanelColumns;
}

// The block's shared memory from the first place where a panel may begin. Up to kPanelAlign bytes are skipped.
__device__ __forceinline__ char* panel_memory() {
  char* memory = dynamic_shared();
  return memory + (kPanelAlign - shared_address(memory) % kPanelAlign) % kPanelAlign;
}

// Where a factor lies and how far apart its parts are (PTX ISA, "Matrix Descriptor Format"; all in units of 16 bytes).
struct Factor {
  uint64_t bits;

  static constexpr uint64_t kSwizzled = uint64_t{1} << 62, kEightRows = 8 * kPanelColumns * 2 / 16;
  __device__ Factor(uint32_t shared_address, int panel_bytes)
      : bits(kSwizzled | kEightRows << 32 | uint64_t(panel_bytes / 16) << 16 | shared_address / 16) {}
  __device__ Factor(uint64_t b) : bits(b) {}
  __device__ Factor after(int bytes) const { return bits + uint64_t(bytes / 16); }
};
// Row r of the panel is row or column r of the product, and element k of it is at depth k. `panel` points to the first
// of 16 columns.
__device__ __forceinline__ Factor by_rows(const uint16_t* panel) { return {shared_address(panel), 16}; }
// Row r is depth r, and element c of it is column c. Panels are `panel_bytes` apart; `panels` points to the first of 16
// rows.
__device__ __forceinline__ Factor by_columns(const uint16_t* panels, int panel_bytes) {
  return {shared_address(panels), panel_bytes};
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define REFORM_HAS_WARPGROUPS

// Makes this thread's writes to shared memory visible to products issued after the block has met. That includes its
// copies, once it has waited for them (PTX ISA, "Async proxy").
__device__ __forceinline__ void show_to_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// Comes before products whose registers something other than products has written.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most the last kLeft groups are under way.
template <int kLeft>
__device__ __forceinline__ void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}
// Stops the compiler from moving reads and writes of d across this point.
template <int kTiles>
__device__ __forceinline__ void settle(float (&d)[kTiles][4]) {
  REFORM_UNROLL
  for (int n = 0; n < kTiles; ++n) {
    asm volatile("" : "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3])::"memory");
  }
}

// Makes the compiler compute `x`, which is never negative, before what follows. ptxas moves a wait for products up past
// plain arithmetic, and the arithmetic that should hide the wait then comes after it. It does not move the wait past a
// store, so there is one here that never happens.
__device__ __forceinline__ void compute_first(float x, void* shared) {
  asm volatile("{.reg .pred below; setp.lt.f32 below, %1, 0f00000000; @below st.volatile.shared.f32 [%0], %1;}" ::"r"(
                   shared_address(shared)),
               "f"(x)
               : "memory");
}

// clang-format off
#define REFORM_D4(n) "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3])
#define REFORM_D32(n) REFORM_D4(n), REFORM_D4(n + 1), REFORM_D4(n + 2), REFORM_D4(n + 3), \
  REFORM_D4(n + 4), REFORM_D4(n + 5), REFORM_D4(n + 6), REFORM_D4(n + 7)
#define REFORM_NAMES_64 \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15" \
  ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define REFORM_NAMES_128 REFORM_NAMES_64 \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47" \
  ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define REFORM_NAMES_256 REFORM_NAMES_128 \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79" \
  ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95" \
  ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111" \
  ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define REFORM_D_64 REFORM_D32(0)
#define REFORM_D_128 REFORM_D32(0), REFORM_D32(8)
#define REFORM_D_256 REFORM_D32(0), REFORM_D32(8), REFORM_D32(16), REFORM_D32(24)
// d = a b, or d += a b if `add`; b by rows.
#define REFORM_MULTIPLY_SHARED(N, A, B, ADD)                                                            \
  __device__ __forceinline__ void multiply(float (&d)[N / 8][4], Factor a, Factor b, bool add) {        \
    asm volatile("{.reg .pred p; setp.ne.b32 p, %" ADD ", 0;"                                           \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.f16.f16 {" REFORM_NAMES_##N "}, %" A   \
                 ", %" B ", p, 1, 1, 0, 0;}" : REFORM_D_##N : "l"(a.bits), "l"(b.bits), "r"(int(add))); \
  }
// d = a b, or d += a b if `add`; b by columns or by rows. a must not change until the product has been waited for.
#define REFORM_MULTIPLY_OWN(N, A0, A1, A2, A3, B, ADD, BY_COLUMNS)                                                       \
  template <bool kByColumns>                                                                                             \
  __device__ __forceinline__ void multiply_own(float (&d)[N / 8][4], const uint32_t (&a)[4], Factor b, bool add) {       \
    asm volatile("{.reg .pred p; setp.ne.b32 p, %" ADD ", 0;"                                                            \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.f16.f16 {" REFORM_NAMES_##N "}, {%" A0 ", %" A1 ", %" A2 \
                 ", %" A3 "}, %" B ", p, 1, 1, %" BY_COLUMNS ";}"                                                        \
                 : REFORM_D_##N                                                                                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits), "r"(int(add)), "n"(int(kByColumns)));        \
  }
REFORM_MULTIPLY_SHARED(64, "32", "33", "34")
REFORM_MULTIPLY_SHARED(128, "64", "65", "66")
REFORM_MULTIPLY_OWN(64, "32", "33", "34", "35", "36", "37", "38")
REFORM_MULTIPLY_OWN(128, "64", "65", "66", "67", "68", "69", "70")
REFORM_MULTIPLY_OWN(256, "128", "129", "130", "131", "132", "133", "134")
#undef REFORM_MULTIPLY_OWN
#undef REFORM_MULTIPLY_SHARED
#undef REFORM_D_64
#undef REFORM_D_128
#undef REFORM_D_256
#undef REFORM_NAMES_64
#undef REFORM_NAMES_128
#undef REFORM_NAMES_256
#undef REFORM_D32
#undef REFORM_D4
// clang-format on

#endif

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
