#include "runtime/tokenizer/tokenizer.h"

#include <charconv>
#include <utility>

#include "base/try.h"
#include "runtime/model/gguf.h"
#include "runtime/tokenizer/encoder.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {

Status no_split(int64_t begin_byte, size_t n_bytes, size_t most_bytes) {
  return {Code::kBadText, "from byte " + std::to_string(begin_byte) + " on, the text has " + std::to_string(n_bytes) +
                              " bytes without a place to split it into tokens; at most " + std::to_string(most_bytes) +
                              " are possible"};
}

std::string byte_of_token(std::string_view text) {
  unsigned byte = 0;
  const bool shaped = text.size() == 6 && text.substr(0, 3) == "<0x" && text[5] == '>';
  if (!shaped || std::from_chars(text.data() + 3, text.data() + 5, byte, 16).ptr != text.data() + 5)
    return std::string(text);
  return std::string(1, char(byte));
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::create(const Gguf& gguf) {
  TRY_ASSIGN(const auto model, gguf.get_string("tokenizer.ggml.model"));
  if (!model) return Status{Code::kBadModel, "tokenizer.ggml.model is missing: the file has no tokenizer"};
  if (*model != "gpt2" && *model != "llama")
    return Status{Code::kBadModel, "tokenizer.ggml.model is '" + std::string(*model) +
                                       "'; known: gpt2 (byte-level BPE), llama (SentencePiece)"};
  TRY_ASSIGN(Vocab loaded, Vocab::load(gguf));
  auto vocab = std::make_unique<Vocab>(std::move(loaded));
  TRY_ASSIGN(std::unique_ptr<Encoder> encoder,
             *model == "gpt2" ? create_byte_level_bpe(gguf, *vocab) : create_sentencepiece(gguf, *vocab));
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer(std::move(vocab), std::move(encoder)));
  TRY_ASSIGN(const auto add_bos, gguf.get_bool("tokenizer.ggml.add_bos_token"));
  if (add_bos) tokenizer->add_bos_ = *add_bos;
  return tokenizer;
}

Tokenizer::Tokenizer(std::unique_ptr<Vocab> vocab, std::unique_ptr<Encoder> encoder)
    : vocab_(std::move(vocab)),
      encoder_(std::move(encoder)),
      user_defined_(*vocab_, false),
      all_special_(*vocab_, true),
      add_bos_(encoder_->default_add_bos()) {}

Tokenizer::~Tokenizer() = default;

int64_t Tokenizer::table_bytes() const { return vocab_->table_bytes() + encoder_->table_bytes(); }

int64_t Tokenizer::most_tokens_per_byte() const { return encoder_->most_tokens_per_byte(); }

std::unique_ptr<TokenStream> Tokenizer::stream(bool lossy) const { return std::make_unique<TokenStream>(*this, lossy); }

void Tokenizer::encode_into(std::string_view text, const SpecialTokens& special, bool at_start, WordPart within,
                            bool final, MergeScratch& scratch, TokenSink& sink) const {
  if (within == WordPart::kStart) at_start = true, within = WordPart::kNone;
  for (size_t pos = 0; pos < text.size();) {
    const SpecialTokens::Match match = special.find(text, pos, final);
    const bool stretch_ends = match.id >= 0 || (final && match.begin == text.size());
    encoder_->encode(text.substr(pos, match.begin - pos), at_start, within, stretch_ends, scratch, sink);
    if (match.id < 0 || sink.gave_up()) return;
    sink.token(match.id, match.n_bytes);
    sink.cut(WordPart::kStart);
    pos = match.begin + match.n_bytes;
    at_start = true;
    within = WordPart::kNone;
  }
}

size_t Tokenizer::encode_front(std::string_view text, bool at_start, bool final, MergeScratch& scratch,
                               WordPart& within, TokenBatch& out) const {
  TokenSink sink(out, encoder_->has_unspelt_bytes());
  encode_into(text, user_defined_, at_start, within, final, scratch, sink);
  if (final) return sink.n_bytes();
  const TokenSink::Cut cut = sink.keep_until_cut(within);
  within = cut.within;
  return cut.n_bytes;
}

Result<TokenBatch> Tokenizer::encode_all(std::string_view text, const SpecialTokens& special, bool at_start) const {
  if (text.size() > kMaxWordBytes)
    return Status{Code::kUsage, "a text of " + std::to_string(text.size()) +
                                    " bytes is too long to encode at once; at most " + std::to_string(kMaxWordBytes) +
                                    " bytes are possible"};
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = decode_utf8(text, pos);
    if (c.kind != Utf8Char::Kind::kValid)
      return Status{Code::kBadText, "the text is not UTF-8 at byte " + std::to_string(pos)};
    pos += c.n_bytes;
  }
  MergeScratch scratch;
  scratch.cache.enable(text.size() > 4096);  // a cache costs more than a short text
  TokenBatch batch;
  TokenSink sink(batch, false);
  encode_into(text, special, at_start, WordPart::kNone, true, scratch, sink);
  if (sink.gave_up()) return no_split(int64_t(sink.n_bytes()), text.size() - sink.n_bytes(), kMaxMergedBytes);
  return batch;
}

Result<std::vector<int32_t>> Tokenizer::encode_plain(std::string_view text, bool at_start) const {
  TRY_ASSIGN(TokenBatch batch, encode_all(text, user_defined_, at_start));
  return std::move(batch.ids);
}

Result<TokenBatch> Tokenizer::encode_measured(std::string_view text, bool at_start) const {
  return encode_all(text, user_defined_, at_start);
}

Result<std::vector<int32_t>> Tokenizer::encode_special(std::string_view text, bool at_start) const {
  TRY_ASSIGN(TokenBatch batch, encode_all(text, all_special_, at_start));
  return std::move(batch.ids);
}

std::vector<Tokenizer::Stretch> Tokenizer::cut_at_special(std::string_view text) const {
  std::vector<Stretch> stretches;
  for (size_t pos = 0; pos < text.size();) {
    const SpecialTokens::Match match = all_special_.find(text, pos, /*final=*/true);
    if (match.begin > pos) stretches.push_back({pos, match.begin, -1});
    if (match.id < 0) break;
    pos = match.begin + match.n_bytes;
    stretches.push_back({match.begin, pos, match.id});
  }
  return stretches;
}

std::string Tokenizer::token_bytes(int32_t id, bool special) const {
  if (!vocab_->contains(id)) return "";
  const std::string_view text = vocab_->text(id);
  switch (vocab_->kind(id)) {
    case TokenKind::kControl:
    case TokenKind::kUnknown:
      return special ? std::string(text) : "";
    case TokenKind::kUserDefined:
      return std::string(text);
    case TokenKind::kByte:
      return byte_of_token(text);
    case TokenKind::kNormal:
    case TokenKind::kUnused:
      break;
  }
  return encoder_->normal_bytes(text);
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids, bool special, bool at_start) const {
  std::string bytes;
  bool prefix_due = at_start && encoder_->adds_space_prefix();
  for (const int32_t id : ids) {
    std::string piece = token_bytes(id, special);
    // The space belongs to the first text. BOS is not text.
    if (prefix_due && vocab_->contains(id) && !vocab_->is_control(id)) {
      if (!piece.empty() && piece[0] == ' ' && vocab_->kind(id) != TokenKind::kUserDefined) piece.erase(0, 1);
      prefix_due = false;
    }
    bytes += piece;
  }
  return bytes;
}

}  // namespace reform
