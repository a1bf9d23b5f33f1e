// The two kinds of encoder behind a Tokenizer, and where they put their tokens.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/merge.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

class Gguf;
class Vocab;

// The longest text that is encoded at once: positions in it and heaps over it fit 32 bits.
inline constexpr size_t kMaxWordBytes = size_t(1) << 30;
// The longest text that a stream holds back, because what follows may change its tokens: blanks after a line feed,
// which a further line feed would join. Other words are encoded window by window.
inline constexpr size_t kMaxHeldBytes = size_t(1) << 17;

// kBadText: n_bytes of the text from begin_byte on cannot be split.
Status no_split(int64_t begin_byte, size_t n_bytes, size_t most_bytes);

// The byte that a byte token ("<0x0A>") stands for, or the text itself if it is no such name.
std::string byte_of_token(std::string_view text);

// Collects tokens and the cuts, the places where the text may be split: encoding the text before a cut and the text
// after it separately gives what encoding both at once gives.
class TokenSink {
 public:
  // Appends to `batch`. hold_last: the last token may still grow by bytes that no token spells, so it counts only after
  // another follows.
  TokenSink(TokenBatch& batch, bool hold_last) : hold_last_(hold_last), batch_(batch), first_(batch.ids.size()) {}

  void token(int32_t id, size_t n_bytes) {
    batch_.ids.push_back(id);
    batch_.byte_lengths.push_back(uint32_t(n_bytes + unspelt_bytes_));
    n_bytes_ += n_bytes;
    unspelt_bytes_ = 0;
  }
  // Bytes that the vocabulary cannot spell. They count to the token before them, at the start to the first one.
  void unspelt(size_t n_bytes) {
    n_bytes_ += n_bytes;
    if (n_tokens() == 0) {
      unspelt_bytes_ += n_bytes;
    } else {
      batch_.byte_lengths.back() += uint32_t(n_bytes);
    }
  }
  // A cut before the first byte does not count: the text's start would be encoded as a start again.
  // within: the word that goes on after the cut.
  void cut(WordPart within = WordPart::kNone) {
    if (n_bytes_ == 0 || n_tokens() == 0) return;
    if (n_tokens() > cut_.n_tokens) before_last_ = cut_;
    cut_ = {n_bytes_, n_tokens(), within};
  }

  struct Cut {
    size_t n_bytes = 0, n_tokens = 0;
    WordPart within = WordPart::kNone;
  };
  // Forgets what comes after the last safe cut and returns it. If there was none, the text goes on within `start`.
  Cut keep_until_cut(WordPart start) {
    Cut cut = hold_last_ ? before_last_ : cut_;
    if (cut.n_bytes == 0) cut.within = start;
    batch_.ids.resize(first_ + cut.n_tokens);
    batch_.byte_lengths.resize(first_ + cut.n_tokens);
    return cut;
  }
  size_t n_bytes() const { return n_bytes_; }
  // The text goes on with a word that is too long to merge at once and has no settled tokens: nothing follows.
  void give_up() { gave_up_ = true; }
  bool gave_up() const { return gave_up_; }

 private:
  size_t n_tokens() const { return batch_.ids.size() - first_; }

  const bool hold_last_;
  TokenBatch& batch_;
  const size_t first_;  // its tokens before these
  bool gave_up_ = false;
  size_t n_bytes_ = 0, unspelt_bytes_ = 0;
  Cut cut_, before_last_;
};

// Encodes a stretch of text that has no special tokens in it.
class Encoder {
 public:
  virtual ~Encoder() = default;

  // Encodes the front of `text` (valid UTF-8, whole characters), as far as no later text can change the tokens; all of
  // it if `final`. at_start: nothing, or a special token, comes before it. within: the word that a cut left open there.
  virtual void encode(std::string_view text, bool at_start, WordPart within, bool final, MergeScratch& scratch,
                      TokenSink& sink) const = 0;

  // The bytes a normal token stands for.
  virtual std::string normal_bytes(std::string_view token_text) const = 0;

  virtual int64_t table_bytes() const = 0;
  virtual bool default_add_bos() const = 0;
  // Whether a text's first token gets a space before it that the text does not have.
  virtual bool adds_space_prefix() const { return false; }
  // The most tokens that a byte of the text can become.
  virtual int64_t most_tokens_per_byte() const { return 1; }
  // Whether some bytes have no token.
  virtual bool has_unspelt_bytes() const { return false; }
};

Result<std::unique_ptr<Encoder>> create_byte_level_bpe(const Gguf& gguf, const Vocab& vocab);
Result<std::unique_ptr<Encoder>> create_sentencepiece(const Gguf& gguf, const Vocab& vocab);

}  // namespace reform
