// The documents that scripts/make_tokenizer_golden.py encoded with other implementations, generated here in the same
// way; the small vocabularies that it used; and the hashes that it wrote.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/model/gguf.h"
#include "runtime/tokenizer/tokenizer.h"
#include "tests/support/gguf_writer.h"

namespace reform {

inline constexpr int kSmallDocuments = 200, kRealDocuments = 700;  // the real ones are over 1 MB

// Mixed text: prose in many scripts, code, emoji, combining marks, white space, digits, and arbitrary code points.
std::string test_document(int number);

// A small random number generator that is the same in Python.
class SplitMix {
 public:
  explicit SplitMix(uint64_t seed) : state_(seed) {}
  uint64_t next();
  uint64_t pick(uint64_t n) { return next() % n; }

 private:
  uint64_t state_;
};

class NumberHash {  // FNV-1a, a number at a time
 public:
  void add(uint64_t number) { hash_ = (hash_ ^ number) * 0x100000001b3u; }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};
uint64_t hash_of(const std::vector<int32_t>& ids);

// tests/golden/tokenizer/<name>.hashes, one for each document.
std::vector<uint64_t> golden_hashes(const std::string& name);

// 256 bytes, the committed merges, a few words without merges, control and user-defined tokens.
GgufWriter small_bpe(const std::string& pre);
// The same, but the bytes 04, 06 and F1 have no token, as in SmolLM2's vocabulary.
GgufWriter bpe_without_some_bytes();
// Trained by SentencePiece: normal, control, byte and user-defined tokens.
GgufWriter small_sentencepiece(bool space_prefix);

std::unique_ptr<Tokenizer> make_tokenizer(const GgufWriter& writer);  // must succeed
// The tokenizer of models/<name>.gguf; when the file is not there, skips the test case and returns nullptr.
std::unique_ptr<Tokenizer> real_tokenizer(const std::string& name);

}  // namespace reform
