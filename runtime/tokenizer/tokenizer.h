// Tokenizers built from a GGUF's own vocabulary: byte-level BPE and SentencePiece-style BPE with byte fallback.
//
// Exact: the same ids as Hugging Face `tokenizers` with the published pre-tokenizer, or as llama.cpp for SentencePiece.
// Thread-safety: a Tokenizer is immutable and may be shared; a TokenStream belongs to one thread.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/merge.h"
#include "runtime/tokenizer/vocab.h"
#include "runtime/tokenizer/word_part.h"

namespace reform {

class Encoder;
class Gguf;
class TokenSink;
class TokenStream;

// Tokens in text order. Token i covers `byte_lengths[i]` bytes of the original text, also after lossy decoding. The
// lengths add up to the bytes consumed. A length may be 0 (a token of a prefix that the text lacks, or all but the last
// token of a split character).
struct TokenBatch {
  std::vector<int32_t> ids;
  std::vector<uint32_t> byte_lengths;
};

// A vocabulary, the tokens that are cut out of a text first, and an Encoder for the text between them.
class Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> create(const Gguf& gguf);
  ~Tokenizer();

  int64_t n_vocab() const { return vocab_->size(); }
  // Special tokens in the text are plain text. Invalid UTF-8 is kBadText.
  // at_start: nothing, or a special token, comes before the text; SentencePiece may put a space there.
  Result<std::vector<int32_t>> encode_plain(std::string_view text, bool at_start = true) const;
  // Special tokens (control and user-defined) in the text become themselves. For templates and raw prompts.
  Result<std::vector<int32_t>> encode_special(std::string_view text, bool at_start = true) const;
  // encode_plain() with the bytes that each token stands for.
  Result<TokenBatch> encode_measured(std::string_view text, bool at_start) const;
  // A text cut at the special tokens in it: bytes [begin, end) are the token `id`, or plain text where it is -1.
  struct Stretch {
    size_t begin, end;
    int32_t id;
  };
  std::vector<Stretch> cut_at_special(std::string_view text) const;
  std::unique_ptr<TokenStream> stream(bool lossy) const;  // must not outlive the tokenizer

  // The bytes that a token stands for. Special tokens give their text if `special`, else nothing. The bytes may end
  // within a character.
  std::string token_bytes(int32_t id, bool special) const;
  // The bytes of a sequence, as a document. If at_start, SentencePiece's prefix space is dropped.
  std::string decode(const std::vector<int32_t>& ids, bool special, bool at_start) const;

  int32_t bos() const { return vocab_->bos(); }                 // -1: none
  bool add_bos() const { return add_bos_ && bos() >= 0; }       // the model wants BOS first in a sequence
  bool is_end(int32_t id) const { return vocab_->is_end(id); }  // EOS, <|im_end|>, …: ends a generation
  void set_end(int32_t id) { vocab_->set_end(id); }             // before the tokenizer is shared
  int64_t table_bytes() const;                                  // host memory of the vocabulary and the merges
  int64_t most_tokens_per_byte() const;                         // of any text

 private:
  friend class TokenStream;
  Tokenizer(std::unique_ptr<Vocab> vocab, std::unique_ptr<Encoder> encoder);
  void encode_into(std::string_view text, const SpecialTokens& special, bool at_start, WordPart within, bool final,
                   MergeScratch& scratch, TokenSink& sink) const;
  // Encodes the front of `text`, valid UTF-8 in whole characters, as far as later text cannot change it; all of it if
  // `final`. Appends to `out` and returns the bytes taken. at_start: nothing comes before `text`. within: where the
  // stop before was, and then where this one is.
  size_t encode_front(std::string_view text, bool at_start, bool final, MergeScratch& scratch, WordPart& within,
                      TokenBatch& out) const;
  Result<TokenBatch> encode_all(std::string_view text, const SpecialTokens& special, bool at_start) const;

  std::unique_ptr<Vocab> vocab_;  // the encoder refers to it
  std::unique_ptr<Encoder> encoder_;
  SpecialTokens user_defined_, all_special_;
  bool add_bos_;
};

// Encodes a text that is fed in pieces of any size, in bounded memory. Special tokens are plain text, and there is no
// BOS.
class TokenStream {
 public:
  // window_bytes changes when tokens come, not which (kWordWindowBytes).
  TokenStream(const Tokenizer& tokenizer, bool lossy, size_t window_bytes = kWordWindowBytes)
      : tokenizer_(tokenizer), lossy_(lossy) {
    scratch_.window_bytes = window_bytes;
    reserve();
  }
  // Host memory of a stream, whatever is fed. Its output is the caller's.
  static int64_t most_bytes(bool lossy);
  // The most tokens that a call of feed() gives.
  static int64_t most_tokens(const Tokenizer& tokenizer, bool lossy, int64_t fed_bytes);
  static int64_t most_held_bytes();  // of held_back()

  // Appends to `out` the tokens that no later text can change. kBadText names the byte offset (unless lossy).
  Status feed(std::string_view bytes, TokenBatch& out);
  // Ends the text: appends the rest.
  Status finish(TokenBatch& out);
  // The bytes that were fed but are not yet given out as tokens. An append must feed them again, before the new text.
  std::string_view held_back() const { return raw_; }
  // The word that these bytes go on with.
  WordPart within() const { return within_; }
  // Goes on after `consumed` bytes of an earlier stream, whose held_back() text is fed first, within the same word. The
  // encoder must know whether this is the start of the text.
  void set_consumed(int64_t consumed_bytes, WordPart within) { consumed_bytes_ = consumed_bytes, within_ = within; }

 private:
  // A U+FFFD in text_ and the bytes of raw_ that it stands for.
  struct Replacement {
    size_t text_pos, n_raw;
  };

  void reserve();
  Status decode(bool final);
  void encode(bool final, TokenBatch& out);
  void to_raw_lengths(TokenBatch& out, size_t first_token);
  void drop_front(size_t n_text);

  const Tokenizer& tokenizer_;
  const bool lossy_;
  MergeScratch scratch_;
  std::string raw_;   // bytes that are not yet given out as tokens
  std::string text_;  // raw_[0, n_decoded_) as valid UTF-8
  size_t n_decoded_ = 0;
  std::deque<Replacement> replacements_;
  int64_t consumed_bytes_ = 0;  // bytes of the whole text before raw_
  WordPart within_ = WordPart::kNone;
  size_t retry_at_bytes_ = 0;  // encoding is not tried again before text_ is this long
};

// Turns tokens into pieces of text in whole UTF-8 characters. An incomplete tail waits; invalid bytes become U+FFFD.
class TextStream {
 public:
  std::string push(std::string_view token_bytes);  // the text that is complete now
  std::string finish();                            // the rest, with U+FFFD for a cut character

 private:
  std::string pending_;
};

}  // namespace reform
