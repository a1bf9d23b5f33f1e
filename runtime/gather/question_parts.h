// The parts of a question that asks several things: "Who built the mill? And who owns it now?" has two. Each is looked
// for by itself, for passages that fit one part well would lose to those that fit all of them a little.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/gather/token_table.h"

namespace reform {

// More sentences with a question mark are one part, as are none.
inline constexpr size_t kMostQuestionParts = 8;

// For each part the weights [n_tokens] of all tokens in it. A part ends with a question mark at a sentence's end; one
// of common words only ("And why?") belongs to the part before it. `weights` [n_tokens]: of the tokens in the whole
// question.
std::vector<std::vector<double>> question_parts(const TokenTable& table, std::span<const int32_t> ids,
                                                std::span<const double> weights);

}  // namespace reform
