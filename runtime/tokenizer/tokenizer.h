// Tokenizers built from a GGUF's own vocabulary: byte-level BPE and SentencePiece-style BPE with byte fallback.
//
// Exact: the same ids as Hugging Face `tokenizers` with the published pre-tokenizer, or llama.cpp for SentencePiece.
// Thread-safety: a Tokenizer is immutable and may be shared; a TokenStream belongs to one thread.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace reform {

class Gguf;

// Tokens in text order. Token i covers `byte_lengths[i]` bytes of the original text (after lossy decoding still the
// original's bytes); the lengths add up to the bytes consumed. 0 is possible (a token of a prefix the text lacks, or
// all but the last token of one split character).
struct TokenBatch {
  std::vector<int32_t> ids;
  std::vector<uint32_t> byte_lengths;
};

// Encodes a text fed in pieces of any size, special tokens as plain text, without BOS, in bounded memory.
class TokenStream {
 public:
  virtual ~TokenStream() = default;
  // Appends to `out` the tokens that no later text can change. kBadText names the byte offset (unless lossy).
  virtual Status feed(std::string_view bytes, TokenBatch& out) = 0;
  // Ends the text: appends the rest.
  virtual Status finish(TokenBatch& out) = 0;
  // The bytes fed but not yet given out as tokens: what an append must be fed again, before the new text.
  virtual std::string_view held_back() const = 0;
  // To go on after `consumed` bytes of an earlier stream whose held_back() text will be fed first: what the encoder
  // must know of the text before (is this the start of the text or not).
  virtual void set_consumed(int64_t consumed_bytes) = 0;
};

class Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> create(const Gguf& gguf);
  virtual ~Tokenizer() = default;

  virtual int64_t n_vocab() const = 0;
  // Special tokens in the text as plain text. Invalid UTF-8 is kBadText.
  // at_start: nothing, or a special token, stands before the text; SentencePiece may put a space there.
  virtual Result<std::vector<int32_t>> encode_plain(std::string_view text, bool at_start = true) const = 0;
  // Special tokens (control and user-defined) in the text become themselves: for templates and raw prompts.
  virtual Result<std::vector<int32_t>> encode_special(std::string_view text, bool at_start = true) const = 0;
  virtual std::unique_ptr<TokenStream> stream(bool lossy) const = 0;

  // The bytes a token stands for; special tokens give their text when `special`, else nothing. Not always whole
  // characters.
  virtual std::string token_bytes(int32_t id, bool special) const = 0;
  // Bytes of a sequence, as a document: SentencePiece's prefix space is dropped when at_start.
  virtual std::string decode(const std::vector<int32_t>& ids, bool special, bool at_start) const = 0;

  virtual int32_t bos() const = 0;                // -1: none
  virtual bool add_bos() const = 0;               // the model wants BOS at the start of a sequence
  virtual bool is_end(int32_t id) const = 0;      // EOS, EOT, <|im_end|>, <end_of_turn>, …: ends a generation
  virtual int64_t table_bytes() const = 0;        // host memory of the vocabulary and the merges
  virtual std::string pre_tokenizer() const = 0;  // "qwen2", "smollm", …, "sentencepiece"
};

// Turns tokens into text pieces of whole UTF-8 characters; incomplete tails wait, invalid bytes become U+FFFD.
class TextStream {
 public:
  std::string push(std::string_view token_bytes);  // what is complete now
  std::string finish();                            // what is left, U+FFFD for a cut character

 private:
  std::string pending_;
};

}  // namespace reform
