// How a GGUF writes its vocabulary: kinds of tokens, and bytes as characters.
#pragma once

#include <array>
#include <cstdint>

namespace reform {

// The numbers are those of tokenizer.ggml.token_type; never renumber.
enum class TokenKind : uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// Byte-level vocabularies write each byte as the character with this code point.
std::array<uint32_t, 256> byte_alphabet();

}  // namespace reform
