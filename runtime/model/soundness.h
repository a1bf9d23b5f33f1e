// Whether a model's numbers are numbers. One NaN or infinity in a weight makes most states NaN, and every answer empty.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <span>

namespace reform {

class Gguf;
struct GgufTensor;

// All numbers of a tensor, or the scales of its blocks, which are all that can be infinite or NaN in one. kBadModel
// names the file, the tensor and the element. It reads all of the tensor's bytes.
Status check_finite(const Gguf& gguf, const GgufTensor& tensor);
Status check_finite(const Gguf& gguf);  // every tensor

// For rows of states whose scales are all 0, as Ops::normalise_quantise() leaves those that are not finite. layer < 0:
// not known. kBadModel.
Status states_not_numbers(int64_t layer);

// Logits [n_vocab] that a token can be chosen from: finite, and not all alike. kBadModel.
Status check_logits(std::span<const float> logits);

}  // namespace reform
