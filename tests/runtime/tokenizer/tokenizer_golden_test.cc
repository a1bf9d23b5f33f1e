// Token for token the same as other implementations; scripts/make_tokenizer_golden.py made the golden data.
#include <catch2/catch.hpp>

#include "runtime/tokenizer/pre_tokenizer.h"
#include "runtime/tokenizer/unicode.h"
#include "tests/runtime/tokenizer/tokenizer_documents.h"

using namespace reform;

namespace {

void check_against_golden(const Tokenizer& tokenizer, const std::string& name, int n_documents) {
  const std::vector<uint64_t> golden = golden_hashes(name);
  REQUIRE(golden.size() == size_t(n_documents));
  int n_wrong = 0, first_wrong = -1;
  for (int i = 0; i < n_documents; ++i) {
    const auto ids = tokenizer.encode_plain(test_document(i));
    REQUIRE(ids.ok());
    if (hash_of(ids.value()) == golden[size_t(i)]) continue;
    if (n_wrong++ == 0) first_wrong = i;
  }
  INFO(name << ": first wrong document " << first_wrong);
  CHECK(n_wrong == 0);
}

}  // namespace

TEST_CASE("tokenizer: the test documents are those of the golden data, and over 1 MB", "[tokenizer]") {
  const std::vector<uint64_t> golden = golden_hashes("documents");
  REQUIRE(golden.size() == size_t(kRealDocuments));
  size_t n_bytes = 0;
  for (int i = 0; i < kRealDocuments; ++i) {
    NumberHash hash;
    const std::string text = test_document(i);
    for (const char c : text) hash.add(uint8_t(c));
    REQUIRE(hash.value() == golden[size_t(i)]);
    n_bytes += text.size();
  }
  CHECK(n_bytes >= 1'000'000);
}

TEST_CASE("pre-tokenizers: words end where Hugging Face's do with the published regex", "[tokenizer]") {
  for (const PreTokenizer& pre : pre_tokenizers()) {
    const std::vector<uint64_t> golden = golden_hashes(std::string("splits_") + pre.name);
    REQUIRE(golden.size() == size_t(kSmallDocuments));
    for (int i = 0; i < kSmallDocuments; ++i) {
      const std::string text = test_document(i);
      NumberHash ends;  // counted in characters, as the reference does
      for (size_t pos = 0, n_chars = 0; pos < text.size();) {
        const size_t end = pos + next_word(pre, text, pos).n_bytes;
        for (; pos < end; pos += decode_utf8(text, pos).n_bytes) ++n_chars;
        ends.add(n_chars);
      }
      INFO(pre.name << ", document " << i);
      REQUIRE(ends.value() == golden[size_t(i)]);
    }
  }
}

TEST_CASE("tokenizer: a small vocabulary gives Hugging Face's ids under every pre-tokenizer", "[tokenizer]") {
  for (const PreTokenizer& pre : pre_tokenizers())
    check_against_golden(*make_tokenizer(small_bpe(pre.name)), std::string("small_") + pre.name, kSmallDocuments);
}

TEST_CASE("tokenizer: a small SentencePiece vocabulary gives llama.cpp's ids", "[tokenizer]") {
  for (const bool prefix : {false, true})
    check_against_golden(*make_tokenizer(small_sentencepiece(prefix)),
                         prefix ? "small_sentencepiece_prefix" : "small_sentencepiece_plain", kSmallDocuments);
}

void check_real_vocabulary(const std::string& name) {
  if (const auto tokenizer = real_tokenizer(name)) check_against_golden(*tokenizer, name, kRealDocuments);
}
TEST_CASE("smollm2-135m: the vocabulary gives the reference's ids on over 1 MB", "[tokenizer][model]") {
  check_real_vocabulary("smollm2-135m");
}
TEST_CASE("qwen2.5-coder-0.5b: the vocabulary gives the reference's ids on over 1 MB", "[tokenizer][model]") {
  check_real_vocabulary("qwen2.5-coder-0.5b");
}
TEST_CASE("gemma3-270m: the vocabulary gives the reference's ids on over 1 MB", "[tokenizer][model]") {
  check_real_vocabulary("gemma3-270m");
}
