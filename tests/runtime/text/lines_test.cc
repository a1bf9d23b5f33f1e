// Line feeds counted from stored tokens are those of the text.
#include "runtime/text/lines.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "storage/format/block_codec.h"
#include "tests/runtime/tokenizer/tokenizer_documents.h"

using namespace reform;

namespace {

// A context that has only tokens, in blocks of 7.
class TokensOnly : public ContextData {
 public:
  explicit TokensOnly(const TokenBatch& batch) {
    meta_.n_tokens = int64_t(batch.ids.size());
    int64_t byte = 0;
    for (int64_t begin = 0; begin < meta_.n_tokens; begin += 7) {
      const size_t n = size_t(std::min<int64_t>(7, meta_.n_tokens - begin));
      const auto lengths = std::span(batch.byte_lengths).subspan(size_t(begin), n);
      blocks_.push_back(encode_spans(byte, std::span(batch.ids).subspan(size_t(begin), n), lengths));
      for (const uint32_t length : lengths) byte += length;
    }
  }
  const ContextMeta& meta() const override { return meta_; }
  Status scan(const ChunkKind& kind, const std::function<Status(TokenRange, std::span<const std::byte>)>& fn) override {
    REQUIRE(&kind == &kTokenSpans);
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const int64_t begin = int64_t(i) * 7;
      const Status status = fn({begin, std::min(begin + 7, meta_.n_tokens)}, std::as_bytes(std::span(blocks_[i])));
      if (!status.ok()) return status;
    }
    return {};
  }
  Result<std::vector<Tokens>> read_token_ranges(std::span<const TokenRange>) override { return unused(); }
  Status read_values(const ChunkKind&, std::span<const TokenRange>,
                     const std::function<Status(TokenRange, std::span<const std::byte>)>&) override {
    return unused();
  }
  Result<std::vector<int64_t>> checkpoints() override { return unused(); }
  Status load_checkpoint(int64_t,
                         const std::function<Status(const std::string&, std::span<const std::byte>)>&) override {
    return unused();
  }
  int64_t bytes_read() const override { return 0; }

 private:
  static Status unused() { return {Code::kInternal, "not here"}; }
  ContextMeta meta_;
  std::vector<std::string> blocks_;
};

// Asks for the beginning of each token, the last one first, and for the text's end.
void check_lines(const Tokenizer& tokenizer, const std::string& text) {
  TokenBatch batch;
  const auto stream = tokenizer.stream(/*lossy=*/true);
  REQUIRE(stream->feed(text, batch).ok());
  REQUIRE(stream->finish(batch).ok());
  std::vector<int64_t> bytes = {0};
  for (const uint32_t length : batch.byte_lengths) bytes.push_back(bytes.back() + length);
  REQUIRE(bytes.back() == int64_t(text.size()));
  std::ranges::reverse(bytes);
  TokensOnly data(batch);
  const auto feeds = feeds_before(data, tokenizer, CharacterBytes("", {}), bytes);
  REQUIRE(feeds.ok());
  REQUIRE(feeds.value().size() == bytes.size());
  int64_t n_wrong = 0;
  for (size_t i = 0; i < bytes.size(); ++i)
    n_wrong += feeds.value()[i] != std::count(text.begin(), text.begin() + bytes[i], '\n');
  CHECK(n_wrong == 0);
}

}  // namespace

TEST_CASE("lines: what tokens give is what the text has, for each kind of vocabulary", "[runtime][tokenizer]") {
  std::vector<std::unique_ptr<Tokenizer>> kinds;
  for (const char* pre : {"gpt-2", "smollm", "qwen2", "llama-bpe", "tekken"})
    kinds.push_back(make_tokenizer(small_bpe(pre)));
  kinds.push_back(make_tokenizer(bpe_without_some_bytes()));
  for (const bool prefix : {false, true}) kinds.push_back(make_tokenizer(small_sentencepiece(prefix)));
  SplitMix rng(11);
  for (size_t k = 0; k < kinds.size(); ++k) {
    CAPTURE(k);
    check_lines(*kinds[k], "");
    check_lines(*kinds[k], "\n");
    check_lines(*kinds[k], "\r\n \n\n\n  a\n\r\r\n");
    for (int i = 0; i < 40; ++i) {
      std::string text = test_document(i);
      for (int n = 0; n < 20; ++n) text.insert(text.begin() + int64_t(rng.pick(text.size() + 1)), '\n');
      check_lines(*kinds[k], text);  // some inserted within characters, so bytes that are not UTF-8 are among them
    }
  }
}

TEST_CASE("lines: an offset within a token, where one file ends and the next begins", "[runtime][tokenizer]") {
  const auto tokenizer = make_tokenizer(small_sentencepiece(false));
  const std::string text = "a\n\n\n\nb";
  TokenBatch batch;
  const auto stream = tokenizer->stream(false);
  REQUIRE(stream->feed(text, batch).ok());
  REQUIRE(stream->finish(batch).ok());
  TokensOnly data(batch);
  std::vector<int64_t> bytes(text.size() + 1);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = int64_t(i);
  CHECK(feeds_before(data, *tokenizer, CharacterBytes("", {}), bytes).value() ==
        std::vector<int64_t>{0, 0, 1, 2, 3, 4, 4});
  CHECK(feeds_before(data, *tokenizer, CharacterBytes("", {}), {}).value().empty());
}
