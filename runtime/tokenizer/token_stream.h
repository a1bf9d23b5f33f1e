// TokenStream's one implementation: decodes UTF-8, keeps what cannot be encoded yet, and maps token lengths back to the
// original bytes.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "runtime/tokenizer/tokenizer_impl.h"

namespace reform {

class TokenStreamImpl : public TokenStream {
 public:
  TokenStreamImpl(const TokenizerImpl& tokenizer, bool lossy) : tokenizer_(tokenizer), lossy_(lossy) {}

  Status feed(std::string_view bytes, TokenBatch& out) override;
  Status finish(TokenBatch& out) override;
  std::string_view held_back() const override { return raw_; }
  void set_consumed(int64_t consumed_bytes) override { consumed_bytes_ = consumed_bytes; }

 private:
  // A U+FFFD in text_ and the bytes of raw_ that it stands for.
  struct Replacement {
    size_t text_pos, n_raw;
  };

  Status decode(bool final);
  void encode(bool final, TokenBatch& out);
  void to_raw_lengths(TokenBatch& out, size_t first_token);
  void drop_front(size_t n_text);

  const TokenizerImpl& tokenizer_;
  const bool lossy_;
  MergeScratch scratch_;
  std::string raw_;   // the bytes not yet given out as tokens
  std::string text_;  // raw_[0, n_decoded_) as valid UTF-8
  size_t n_decoded_ = 0;
  std::deque<Replacement> replacements_;
  int64_t consumed_bytes_ = 0;  // of the whole text, before raw_
  size_t retry_at_bytes_ = 0;   // encoding is not worth trying before text_ is this long
};

}  // namespace reform
