#include "bench/micro/machine_peak.h"

#include <algorithm>
#include <chrono>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace reform::bench {
namespace {

template <class Run>
double best_seconds(int n_runs, Run run) {
  double best = 1e30;
  for (int i = 0; i < n_runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

constexpr int kRuns = 50;
constexpr int64_t kRounds = 20000;  // about 50 us per run

#if defined(__x86_64__)
#define REFORM_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define REFORM_AVX2 __attribute__((target("avx2,fma")))

// Ten independent chains hide the latency of any of these instructions; the empty asm keeps each of them.
REFORM_AVX512 void int8_avx512() {
  __m512i a = _mm512_set1_epi8(1), s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a, s6 = a, s7 = a, s8 = a, s9 = a;
  for (int64_t i = 0; i < kRounds; ++i) {
    s0 = _mm512_dpbusd_epi32(s0, a, a), s1 = _mm512_dpbusd_epi32(s1, a, a), s2 = _mm512_dpbusd_epi32(s2, a, a);
    s3 = _mm512_dpbusd_epi32(s3, a, a), s4 = _mm512_dpbusd_epi32(s4, a, a), s5 = _mm512_dpbusd_epi32(s5, a, a);
    s6 = _mm512_dpbusd_epi32(s6, a, a), s7 = _mm512_dpbusd_epi32(s7, a, a), s8 = _mm512_dpbusd_epi32(s8, a, a);
    s9 = _mm512_dpbusd_epi32(s9, a, a);
    asm volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7), "+v"(s8));
    asm volatile("" : "+v"(s9), "+v"(a));
  }
}

REFORM_AVX512 void fp32_avx512() {
  __m512 a = _mm512_set1_ps(0), s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a, s6 = a, s7 = a, s8 = a, s9 = a;
  for (int64_t i = 0; i < kRounds; ++i) {
    s0 = _mm512_fmadd_ps(a, a, s0), s1 = _mm512_fmadd_ps(a, a, s1), s2 = _mm512_fmadd_ps(a, a, s2);
    s3 = _mm512_fmadd_ps(a, a, s3), s4 = _mm512_fmadd_ps(a, a, s4), s5 = _mm512_fmadd_ps(a, a, s5);
    s6 = _mm512_fmadd_ps(a, a, s6), s7 = _mm512_fmadd_ps(a, a, s7), s8 = _mm512_fmadd_ps(a, a, s8);
    s9 = _mm512_fmadd_ps(a, a, s9);
    asm volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7), "+v"(s8));
    asm volatile("" : "+v"(s9), "+v"(a));
  }
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) void bf16_avx512() {
  __m512 s0 = _mm512_set1_ps(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0, s9 = s0;
  const __m512bh a = (__m512bh)_mm512_set1_epi16(0);
  for (int64_t i = 0; i < kRounds; ++i) {
    s0 = _mm512_dpbf16_ps(s0, a, a), s1 = _mm512_dpbf16_ps(s1, a, a), s2 = _mm512_dpbf16_ps(s2, a, a);
    s3 = _mm512_dpbf16_ps(s3, a, a), s4 = _mm512_dpbf16_ps(s4, a, a), s5 = _mm512_dpbf16_ps(s5, a, a);
    s6 = _mm512_dpbf16_ps(s6, a, a), s7 = _mm512_dpbf16_ps(s7, a, a), s8 = _mm512_dpbf16_ps(s8, a, a);
    s9 = _mm512_dpbf16_ps(s9, a, a);
    asm volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7), "+v"(s8));
    asm volatile("" : "+v"(s9));
  }
}

// Four sums: the unit begins a product every 16 cycles, and one takes 52.
__attribute__((target("amx-tile,amx-bf16"))) void bf16_amx() {
  struct alignas(64) Shapes {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static constexpr Shapes kShapes;
  _tile_loadconfig(&kShapes);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int64_t i = 0; i < kRounds; ++i) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_release();
}

REFORM_AVX2 void int8_avx2() {
  __m256i a = _mm256_set1_epi8(1), one = _mm256_set1_epi16(1), s0 = a, s1 = a, s2 = a, s3 = a, s4 = a;
  for (int64_t i = 0; i < kRounds; ++i) {
    s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), one));
    asm volatile("" : "+x"(a));
    s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), one));
    asm volatile("" : "+x"(a));
    s2 = _mm256_add_epi32(s2, _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), one));
    asm volatile("" : "+x"(a));
    s3 = _mm256_add_epi32(s3, _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), one));
    asm volatile("" : "+x"(a));
    s4 = _mm256_add_epi32(s4, _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), one));
    asm volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(a));
  }
}

REFORM_AVX2 void fp32_avx2() {
  __m256 a = _mm256_set1_ps(0), s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a, s6 = a, s7 = a, s8 = a, s9 = a;
  for (int64_t i = 0; i < kRounds; ++i) {
    s0 = _mm256_fmadd_ps(a, a, s0), s1 = _mm256_fmadd_ps(a, a, s1), s2 = _mm256_fmadd_ps(a, a, s2);
    s3 = _mm256_fmadd_ps(a, a, s3), s4 = _mm256_fmadd_ps(a, a, s4), s5 = _mm256_fmadd_ps(a, a, s5);
    s6 = _mm256_fmadd_ps(a, a, s6), s7 = _mm256_fmadd_ps(a, a, s7), s8 = _mm256_fmadd_ps(a, a, s8);
    s9 = _mm256_fmadd_ps(a, a, s9);
    asm volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5), "+x"(s6), "+x"(s7), "+x"(s8));
    asm volatile("" : "+x"(s9), "+x"(a));
  }
}
#endif

}  // namespace

double peak_int8_ops(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512) return double(kRounds) * 10 * 64 * 2 / best_seconds(kRuns, int8_avx512);
  if (isa == Isa::kAvx2) return double(kRounds) * 5 * 32 * 2 / best_seconds(kRuns, int8_avx2);
#endif
  (void)isa;
  return 0;
}

double peak_fp32_ops(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512) return double(kRounds) * 10 * 16 * 2 / best_seconds(kRuns, fp32_avx512);
  if (isa == Isa::kAvx2) return double(kRounds) * 10 * 8 * 2 / best_seconds(kRuns, fp32_avx2);
#endif
  (void)isa;
  return 0;
}

double peak_bf16_ops() {
#if defined(__x86_64__)
  return double(kRounds) * 10 * 32 * 2 / best_seconds(kRuns, bf16_avx512);
#else
  return 0;
#endif
}

double peak_amx_ops() {
#if defined(__x86_64__)
  return double(kRounds) * 4 * (16 * 16 * 32) * 2 / best_seconds(kRuns, bf16_amx);
#else
  return 0;
#endif
}

double peak_read_bytes() {
  constexpr size_t kWords = size_t(64) << 20;  // 512 MiB: past any L3 share
  static const std::vector<uint64_t> data(kWords, 1);
  const double seconds = best_seconds(5, [] {
    uint64_t sums[8] = {};
    for (size_t i = 0; i < kWords; i += 8) {
      for (size_t j = 0; j < 8; ++j) sums[j] += data[i + j];
    }
    for (uint64_t& s : sums) asm volatile("" : "+r"(s));
  });
  return double(kWords) * 8 / seconds;
}

}  // namespace reform::bench
