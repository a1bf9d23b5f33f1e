// The parts of a question that asks several things: "Who built the mill? And who owns it now?" has two. Each is looked
// for by itself, for passages that fit one part well would lose to those that fit all of them a little.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace reform {

// More sentences with a question mark are one part, as are none.
inline constexpr size_t kMostQuestionParts = 8;

// For each part the weights [n_tokens] of all tokens in it. A part ends with a question mark of any script, quotes and
// brackets behind it included; "?" needs white space after it. A part of common words only ("And why?") belongs to the
// part before it. `tokens` [n_tokens]: their bytes, since a mark may take several. `weights` [n_tokens]: of the tokens
// in the whole question.
std::vector<std::vector<double>> question_parts(std::span<const std::string> tokens, std::span<const double> weights);

}  // namespace reform
