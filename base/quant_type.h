// The element types of a GGUF tensor and their block geometry. Geometry only; the arithmetic is in kernels/.
#pragma once

#include <cstdint>
#include <optional>

namespace reform {

// The order is ours; files use QuantGeometry::gguf_id.
enum class QuantType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kCount
};

struct QuantGeometry {
  const char* name;     // as users write it: "Q4_K"
  uint32_t gguf_id;     // the type's number in a GGUF file
  int32_t block_elems;  // elements per block; a row is a whole number of blocks
  int32_t block_bytes;
};

const QuantGeometry& geometry(QuantType type);
std::optional<QuantType> quant_type_from_gguf(uint32_t gguf_id);

// Bytes of one row of `cols` elements; cols % block_elems == 0.
inline int64_t row_bytes(QuantType type, int64_t cols) {
  const QuantGeometry& g = geometry(type);
  return cols / g.block_elems * g.block_bytes;
}

}  // namespace reform
