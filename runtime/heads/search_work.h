// How much work a search for heads is, by the shapes of model and samples alone. A search that measured itself would
// read fewer samples on a busy machine, and so choose other heads there for the same model.
#pragma once

#include <cstdint>

#include "runtime/heads/search_text.h"
#include "runtime/model/model.h"

namespace reform {

inline constexpr double kReadingShare = 0.8;     // of the time; choosing takes the rest
inline constexpr double kQuestionTokenCost = 3;  // in tokens of text, since a question is a short call

// What a search of layers [0, last_layer] takes with n_samples of `all` samples, on two cores of the machine that the
// constants were measured on.
double search_seconds(const ModelShape& shape, int64_t last_layer, const SearchText& all, int64_t n_samples);

}  // namespace reform
