// Models of real shapes with random weights and no file, for measuring where real weights cannot be had: "NAME:TYPE",
// as in mistral-nemo-12b:q4_k. Their answers are noise. Their tokenizer gives each byte of a text one token.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/quant_type.h"

namespace reform {

// The GGUF of such a model, without the matrices, which come last in it.
struct SyntheticFile {
  std::string begin;  // up to the first matrix
  int64_t total_bytes = 0, largest_matrix_bytes = 0;
  QuantType type = QuantType::kF32;  // of the matrices
};

// kUsage lists the known names and types.
Result<SyntheticFile> describe_synthetic(std::string_view name_and_type);

}  // namespace reform
