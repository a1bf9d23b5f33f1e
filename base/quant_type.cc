#include "base/quant_type.h"

#include <iterator>

namespace reform {
namespace {

// One row per QuantType, in the enum's order.
constexpr QuantGeometry kGeometry[] = {
    {"F32", 0, 1, 4},       {"F16", 1, 1, 2},       {"BF16", 30, 1, 2},     {"Q4_0", 2, 32, 18},
    {"Q4_1", 3, 32, 20},    {"Q5_0", 6, 32, 22},    {"Q5_1", 7, 32, 24},    {"Q8_0", 8, 32, 34},
    {"Q2_K", 10, 256, 84},  {"Q3_K", 11, 256, 110}, {"Q4_K", 12, 256, 144}, {"Q5_K", 13, 256, 176},
    {"Q6_K", 14, 256, 210},
};
static_assert(std::size(kGeometry) == size_t(QuantType::kCount), "a new QuantType needs a row in kGeometry");

}  // namespace

const QuantGeometry& geometry(QuantType type) { return kGeometry[size_t(type)]; }

std::optional<QuantType> quant_type_from_gguf(uint32_t gguf_id) {
  for (size_t i = 0; i < std::size(kGeometry); ++i) {
    if (kGeometry[i].gguf_id == gguf_id) return QuantType(i);
  }
  return std::nullopt;
}

}  // namespace reform
