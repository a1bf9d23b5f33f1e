// Blocks of token spans to bytes and back. (Embedding blocks are the rows unchanged.)
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/format/block_map.h"

namespace reform {

struct SpanBlock {
  int64_t begin_byte = 0;              // where the first token begins in the context's source text
  std::vector<int32_t> ids;            // [n]
  std::vector<uint32_t> byte_lengths;  // [n]

  int64_t end_byte() const;
};

// begin_byte u64, n u32, id width u8 (1-4), ids [n] of that width, byte lengths [n] as varints: all little-endian.
// About 4 bytes per token with a vocabulary past 65,536.
std::string encode_spans(int64_t begin_byte, std::span<const int32_t> ids, std::span<const uint32_t> byte_lengths);

// kCorrupt unless payload is exactly such a block of n_tokens. The message leaves the context's name to the caller.
Result<SpanBlock> decode_spans(std::span<const std::byte> payload, int64_t n_tokens);

// The size of the longest block of n_tokens spans.
constexpr int64_t max_span_bytes(int64_t n_tokens) { return 13 + n_tokens * (4 + 5); }

// Checks a context's token blocks, in order.
class SpanChain {
 public:
  // kCorrupt, naming the block but not the context, unless the block decodes and begins at the byte where the last one
  // ended (if that one was intact).
  Status add(TokenRange block, std::span<const std::byte> payload);
  // The byte where the last block ended. Nothing if the last intact block does not end at n_tokens.
  std::optional<int64_t> end_byte(int64_t n_tokens) const {
    return end_token_ == n_tokens ? std::optional(end_byte_) : std::nullopt;
  }

 private:
  int64_t end_token_ = 0, end_byte_ = 0;
};

}  // namespace reform
