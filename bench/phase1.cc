#include "bench/phase1.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/try.h"

namespace reform::bench {

constexpr int64_t kSinkTokens = 4;

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status{Code::kNotFound, path + ": cannot be read"};
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Result<TokenisedText> read_text(const std::string& path, const Tokenizer& tokenizer) {
  TokenisedText text;
  TRY_ASSIGN(const std::string bytes, read_file(path));
  const auto stream = tokenizer.stream(/*lossy=*/false);
  TRY(stream->feed(bytes, text.tokens));
  TRY(stream->finish(text.tokens));
  text.begin_bytes = {0};
  for (const uint32_t n : text.tokens.byte_lengths) text.begin_bytes.push_back(text.begin_bytes.back() + n);
  return text;
}

Result<CompressOptions> compress_options(const ReadingOptions& options, const Tokenizer& tokenizer) {
  const Policy* const policy = find_policy(options.policy);
  if (policy == nullptr) return Status{Code::kUsage, "unknown policy " + options.policy};
  const bool wants_bos = tokenizer.add_bos() && tokenizer.bos() >= 0;
  return CompressOptions{.policy = policy,
                         .chunk_tokens = options.chunk_tokens,
                         .cache_tokens = options.cache_tokens,
                         .sink_tokens = kSinkTokens,
                         .overlap_tokens = options.overlap_tokens,
                         .bos = wants_bos ? tokenizer.bos() : -1,
                         .kv_type = KvView::Type::kF16};
}

CompressSizes sizes_for_both(const CompressOptions& options) {
  const CompressSizes text = ingest_sizes(options), question = question_sizes(options, kMaxQuestionTokens);
  return {std::max(text.call_tokens, question.call_tokens), std::max(text.capacity, question.capacity)};
}

Status run_text(Compressor& compressor, const CompressOptions& options, std::span<const int32_t> ids,
                const std::function<void(std::span<const std::byte>)>& on_rows) {
  for (size_t begin = 0; begin < ids.size(); begin += size_t(options.chunk_tokens)) {
    const size_t n = std::min(size_t(options.chunk_tokens), ids.size() - begin);
    const size_t overlap = std::min(begin, size_t(options.overlap_tokens));
    TRY_ASSIGN(const RowsForHost rows,
               compressor.run_chunk(
                   ids.subspan(begin - overlap, overlap), ids.subspan(begin, n), [](double) {}, nullptr));
    TRY(compressor.wait_for(rows));
    on_rows(rows.bytes);
  }
  if (options.policy->carries()) return {};
  return compressor.run_tail(ids.last(std::min(ids.size(), size_t(kQuestionTailTokens))), nullptr);
}

}  // namespace reform::bench
