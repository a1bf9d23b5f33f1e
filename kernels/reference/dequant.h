// What each tensor format means, block by block: the definition that tests compare every faster kernel with.
//
// Bit for bit equal to the `gguf` Python package. Every product below is exact in FP32 (an 11-bit half scale times a
// sub-scale of at most 7 bits times a value of at most 5: 23 of 24 bits). So a value is rounded once, in the last
// addition, and neither the order of factors nor fused multiply-add can change a bit.
#pragma once

#include <cstdint>

namespace reform {

// dequant_float.cc: one element is one block.
void dequant_f32_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_f16_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_bf16_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
// dequant_q.cc: 32 elements, one half scale.
void dequant_q4_0_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_q4_1_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_q5_0_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_q5_1_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_q8_0_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
// dequant_k.cc: 256 elements, half scales over small integer sub-scales.
void dequant_q2_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_q3_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_q4_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_q5_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out);
void dequant_q6_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out);

}  // namespace reform
