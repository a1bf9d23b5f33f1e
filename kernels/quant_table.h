// What each QuantType's blocks mean. ARCHITECTURE.md lists what else a new type needs.
#pragma once

#include <cstdint>

#include "base/quant_type.h"

namespace reform {

// out [n_blocks * block_elems] = the values of n_blocks blocks. `blocks` may have any alignment.
using DequantFn = void (*)(const uint8_t* blocks, int64_t n_blocks, float* out);

struct QuantOps {
  QuantType type;
  DequantFn dequant_ref;
};

const QuantOps& quant_ops(QuantType type);

}  // namespace reform
