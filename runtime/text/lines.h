// Line feeds of a context's text, counted from its stored tokens: the files themselves may be gone.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/text/character_bytes.h"
#include "runtime/tokenizer/tokenizer.h"
#include "storage/context/context.h"

namespace reform {

// How many line feeds stand before each of `bytes`, offsets in the joined text in any order. It is one scan over the
// tokens, as long for one offset as for many.
Result<std::vector<int64_t>> feeds_before(ContextData& data, const Tokenizer& tokenizer,
                                          const CharacterBytes& characters, std::span<const int64_t> bytes);

}  // namespace reform
