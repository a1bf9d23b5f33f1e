// Models of real shapes with random weights and no file, for measuring where weights cannot be had: "NAME:TYPE", as in
// mistral-nemo-12b:q4_k. What they say is noise. Their tokenizer gives each byte of a text one token.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/quant_type.h"

namespace reform {

// What such a model's GGUF would be. All is here but the matrices, which stand last.
struct SyntheticFile {
  std::string begin;  // up to the first matrix
  int64_t total_bytes = 0, largest_matrix_bytes = 0;
  QuantType type = QuantType::kF32;  // of the matrices
};

// kUsage says what there is.
Result<SyntheticFile> describe_synthetic(std::string_view name_and_type);

}  // namespace reform
