// Phase 1 over a text in memory, for benches that look at rows without a store.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/compress/compress.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform::bench {

inline constexpr int64_t kMaxQuestionTokens = 256;

// How a text is read; --help's defaults.
struct ReadingOptions {
  std::string model, text, policy;
  int64_t chunk_tokens = 2048, cache_tokens = 2048, overlap_tokens = 256;
  int threads = 0;
};

struct TokenisedText {
  TokenBatch tokens;
  std::vector<int64_t> begin_bytes;  // [n_tokens + 1]

  int64_t n_tokens() const { return int64_t(tokens.ids.size()); }
};

Result<std::string> read_file(const std::string& path);
Result<TokenisedText> read_text(const std::string& path, const Tokenizer& tokenizer);

// kUsage: no such policy.
Result<CompressOptions> compress_options(const ReadingOptions& options, const Tokenizer& tokenizer);
// Enough for the text's chunks and for a question of kMaxQuestionTokens.
CompressSizes sizes_for_both(const CompressOptions& options);
// Runs the whole text; on_rows gets each chunk's rows in turn. Then questions may be run.
Status run_text(Compressor& compressor, const CompressOptions& options, std::span<const int32_t> ids,
                const std::function<void(std::span<const std::byte>)>& on_rows);

}  // namespace reform::bench
