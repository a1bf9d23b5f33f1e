// What each QuantType's blocks mean. ARCHITECTURE.md lists what else a new type needs.
#include <cassert>
#include <cstdint>
#include <iterator>
#include <utility>

#include "kernels/ops.h"
#include "kernels/reference/dequant.h"

namespace reform {
namespace {

// The definition of each QuantType, in the enum's order: [n_blocks * block_elems] values of n_blocks blocks, which may
// have any alignment.
constexpr std::pair<QuantType, void (*)(const uint8_t* blocks, int64_t n_blocks, float* out)> kDefinitions[] = {
    {QuantType::kF32, dequant_f32_ref},   {QuantType::kF16, dequant_f16_ref},   {QuantType::kBF16, dequant_bf16_ref},
    {QuantType::kQ4_0, dequant_q4_0_ref}, {QuantType::kQ4_1, dequant_q4_1_ref}, {QuantType::kQ5_0, dequant_q5_0_ref},
    {QuantType::kQ5_1, dequant_q5_1_ref}, {QuantType::kQ8_0, dequant_q8_0_ref}, {QuantType::kQ2_K, dequant_q2_k_ref},
    {QuantType::kQ3_K, dequant_q3_k_ref}, {QuantType::kQ4_K, dequant_q4_k_ref}, {QuantType::kQ5_K, dequant_q5_k_ref},
    {QuantType::kQ6_K, dequant_q6_k_ref},
};
static_assert(std::size(kDefinitions) == size_t(QuantType::kCount), "a new QuantType needs a row in kDefinitions");

constexpr bool in_enum_order() {
  for (size_t i = 0; i < std::size(kDefinitions); ++i) {
    if (kDefinitions[i].first != QuantType(i)) return false;
  }
  return true;
}
static_assert(in_enum_order(), "kDefinitions is indexed by QuantType");

}  // namespace

void dequantise(QuantType type, const void* blocks, int64_t n_elems, float* out) {
  const int64_t block_elems = geometry(type).block_elems;
  assert(n_elems % block_elems == 0);
  const auto& [_, definition] = kDefinitions[size_t(type)];
  definition(static_cast<const uint8_t*>(blocks), n_elems / block_elems, out);
}

}  // namespace reform
