// Why a generated text has nothing to read. No such text is left unexplained.
#pragma once

#include <reform/generate.h>

#include <string>

namespace reform {

// The value of empty_because (generate.h) for a text and how it ended.
std::string why_empty(const GenerateResult& generated);

}  // namespace reform
