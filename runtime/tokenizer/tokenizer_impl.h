// The one Tokenizer: a vocabulary, the tokens cut out of a text first, and an Encoder for the text between them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/encoder.h"
#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/vocab.h"

namespace reform {

class TokenizerImpl : public Tokenizer {
 public:
  TokenizerImpl(std::unique_ptr<Vocab> vocab, std::unique_ptr<Encoder> encoder);

  int64_t n_vocab() const override { return vocab_->size(); }
  Result<std::vector<int32_t>> encode_plain(std::string_view text, bool at_start) const override;
  Result<std::vector<int32_t>> encode_special(std::string_view text, bool at_start) const override;
  std::unique_ptr<TokenStream> stream(bool lossy) const override;
  std::string token_bytes(int32_t id, bool special) const override;
  std::string decode(const std::vector<int32_t>& ids, bool special, bool at_start) const override;
  int32_t bos() const override { return vocab_->bos(); }
  bool add_bos() const override { return add_bos_ && bos() >= 0; }
  bool is_end(int32_t id) const override { return vocab_->is_end(id); }
  int64_t table_bytes() const override { return vocab_->table_bytes() + encoder_->table_bytes(); }
  std::string pre_tokenizer() const override { return encoder_->name(); }

  void set_add_bos(bool add_bos) { add_bos_ = add_bos; }

  // Encodes the front of `text`, valid UTF-8 in whole characters, as far as later text cannot change it; all if
  // `final`. Appends to `out` and returns the bytes taken. at_start: nothing stands before `text`. Never stops behind a
  // special token if a space prefix would be due there, so that what follows a stop is never a start.
  size_t encode_front(std::string_view text, bool at_start, bool final, MergeScratch& scratch, TokenBatch& out) const;

 private:
  void encode_into(std::string_view text, const SpecialTokens& special, bool at_start, bool final,
                   MergeScratch& scratch, TokenSink& sink) const;
  Result<std::vector<int32_t>> encode_all(std::string_view text, const SpecialTokens& special, bool at_start) const;

  std::unique_ptr<Vocab> vocab_;  // the encoder refers to it
  std::unique_ptr<Encoder> encoder_;
  SpecialTokens user_defined_, all_special_;
  bool add_bos_;
};

}  // namespace reform
