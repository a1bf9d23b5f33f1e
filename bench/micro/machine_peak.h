// This machine's best rates, measured, for comparison with each figure. One thread; the best of many short runs,
// because other work on the machine can only lower a rate.
#pragma once

#include "kernels/ops.h"

namespace reform::bench {

// Multiplications and additions per second, each counted as one, of the unit that a kernel of this isa works with.
double peak_int8_ops(Isa isa);  // vpdpbusd; vpmaddubsw + vpmaddwd + vpaddd before AVX-512; 0 without either
double peak_fp32_ops(Isa isa);  // fused multiply-adds; 0 for the portable code
double peak_bf16_ops();         // vdpbf16ps; only where Isa::kAvx512 is supported
double peak_amx_ops();          // tdpbf16ps; only where Isa::kAmx is supported
// Bytes per second read from memory in one stream well past the caches.
double peak_read_bytes();

}  // namespace reform::bench
