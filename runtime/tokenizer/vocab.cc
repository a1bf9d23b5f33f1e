#include "runtime/tokenizer/vocab.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/try.h"
#include "runtime/model/gguf.h"

namespace reform {
namespace {

constexpr size_t kMaxVocabTokens = size_t(1) << 24;  // far beyond any vocabulary; keeps ids and sums small

// Tokens that end a generation, by their text.
constexpr std::string_view kEndTexts[] = {
    "<|im_end|>",      "<|endoftext|>", "<end_of_turn>", "<|eot_id|>",    "<|eom_id|>",   "<|end_of_text|>", "<|end|>",
    "<|end_of_turn|>", "<EOT>",         "<|fim_pad|>",   "<|repo_name|>", "<|file_sep|>", "<|return|>",
};
// Tokens that structure a prompt, whatever kind a file gives them.
constexpr std::string_view kControlTexts[] = {"<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<EOT>"};

// For most SentencePiece models this ends the text; for Gemma it is a tag of HTML (user-defined). As in llama.cpp, a
// document never writes it, and only as a control token does it end a generation.
constexpr std::string_view kEndOfText = "</s>";

Status bad(const std::string& message) { return {Code::kBadModel, message}; }

// <|...|>: the shape of control tokens. Some files call them user-defined.
bool looks_like_control(std::string_view text) {
  return text.size() > 4 && text.substr(0, 2) == "<|" && text.substr(text.size() - 2) == "|>";
}

template <size_t n>
bool any_of(const std::string_view (&list)[n], std::string_view text) {
  return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

Result<int32_t> token_id(const Gguf& gguf, const std::string& key, int32_t n_vocab) {
  TRY_ASSIGN(const std::optional<int64_t> id, gguf.get_int(key));
  if (!id || *id == -1 || *id == 0xffffffff) return -1;  // -1 also as written in a u32
  if (*id < 0 || *id >= n_vocab)
    return bad(key + " is " + std::to_string(*id) + ", outside the vocabulary of " + std::to_string(n_vocab));
  return int32_t(*id);
}

}  // namespace

Result<Vocab> Vocab::load(const Gguf& gguf) {
  Vocab vocab;
  TRY(vocab.load_tokens(gguf));
  TRY(vocab.load_kinds(gguf));
  TRY(vocab.load_scores(gguf));
  vocab.is_end_.assign(size_t(vocab.size()), false);
  TRY(vocab.load_special_ids(gguf));
  vocab.mark_known_controls();
  vocab.build_index();
  return vocab;
}

Status Vocab::load_tokens(const Gguf& gguf) {
  TRY_ASSIGN(const auto texts, gguf.get_strings("tokenizer.ggml.tokens"));
  if (!texts || texts->empty()) return bad("tokenizer.ggml.tokens is missing or empty: the file has no vocabulary");
  if (texts->size() > kMaxVocabTokens)
    return bad("tokenizer.ggml.tokens has " + std::to_string(texts->size()) + " entries, at most " +
               std::to_string(kMaxVocabTokens) + " are possible");
  begins_.reserve(texts->size() + 1);
  begins_.push_back(0);
  size_t n_bytes = 0;
  for (const std::string_view text : *texts) n_bytes += text.size();  // views into the file, so no overflow
  blob_.reserve(n_bytes);
  for (const std::string_view text : *texts) {
    blob_ += text;
    begins_.push_back(blob_.size());
  }
  kinds_.assign(texts->size(), TokenKind::kNormal);
  return ok_status();
}

Status Vocab::load_kinds(const Gguf& gguf) {
  TRY_ASSIGN(const auto kinds, gguf.get_ints("tokenizer.ggml.token_type"));
  if (!kinds) return ok_status();
  if (kinds->size() != kinds_.size())
    return bad("tokenizer.ggml.token_type has " + std::to_string(kinds->size()) + " entries for " +
               std::to_string(kinds_.size()) + " tokens");
  for (size_t i = 0; i < kinds_.size(); ++i) {
    const int64_t kind = (*kinds)[i];
    if (kind < 0 || kind > int64_t(TokenKind::kByte))
      return bad("tokenizer.ggml.token_type of token " + std::to_string(i) + " is " + std::to_string(kind) +
                 ", expected 0 to 6");
    if (kind != 0) kinds_[i] = TokenKind(kind);  // 0, undefined, reads as normal
  }
  return ok_status();
}

Status Vocab::load_scores(const Gguf& gguf) {
  TRY_ASSIGN(const auto scores, gguf.get_floats("tokenizer.ggml.scores"));
  if (!scores) return ok_status();
  if (scores->size() != kinds_.size())
    return bad("tokenizer.ggml.scores has " + std::to_string(scores->size()) + " entries for " +
               std::to_string(kinds_.size()) + " tokens");
  scores_.reserve(scores->size());
  for (const double score : *scores)
    scores_.push_back(std::isnan(score) ? -std::numeric_limits<float>::infinity() : float(score));
  return ok_status();
}

Status Vocab::load_special_ids(const Gguf& gguf) {
  TRY_ASSIGN(bos_, token_id(gguf, "tokenizer.ggml.bos_token_id", size()));
  TRY_ASSIGN(unknown_, token_id(gguf, "tokenizer.ggml.unknown_token_id", size()));
  if (bos_ >= 0) kinds_[size_t(bos_)] = TokenKind::kControl;
  for (const char* key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    TRY_ASSIGN(const int32_t id, token_id(gguf, key, size()));
    if (id < 0) continue;
    is_end_[size_t(id)] = true;
    kinds_[size_t(id)] = TokenKind::kControl;
  }
  return ok_status();
}

// A document must never write a control token, so a file that calls <|im_end|> user-defined is overruled.
void Vocab::mark_known_controls() {
  for (int32_t id = 0; id < size(); ++id) {
    TokenKind& kind = kinds_[size_t(id)];
    if (kind == TokenKind::kUserDefined && (looks_like_control(text(id)) || any_of(kControlTexts, text(id))))
      kind = TokenKind::kControl;
    if (kind == TokenKind::kControl && (any_of(kEndTexts, text(id)) || text(id) == kEndOfText))
      is_end_[size_t(id)] = true;
  }
}

void Vocab::build_index() {
  size_t capacity = 16;
  while (capacity < 2 * kinds_.size()) capacity *= 2;
  slots_.assign(capacity, -1);
  for (int32_t id = 0; id < size(); ++id) {
    size_t i = XXH3_64bits(text(id).data(), text(id).size()) & (capacity - 1);
    while (slots_[i] >= 0 && text(slots_[i]) != text(id)) i = (i + 1) & (capacity - 1);
    slots_[i] = id;
  }
}

int32_t Vocab::find(std::string_view wanted) const {
  size_t i = XXH3_64bits(wanted.data(), wanted.size()) & (slots_.size() - 1);
  while (slots_[i] >= 0 && text(slots_[i]) != wanted) i = (i + 1) & (slots_.size() - 1);
  return slots_[i];
}

SpecialTokens::SpecialTokens(const Vocab& vocab, bool control) {
  for (int32_t id = 0; id < vocab.size(); ++id) {
    const bool is_text = vocab.kind(id) == TokenKind::kUserDefined && vocab.text(id) != kEndOfText;
    const bool wanted = is_text || (control && (vocab.is_control(id) || vocab.text(id) == kEndOfText));
    if (!wanted || vocab.text(id).empty()) continue;
    tokens_.emplace_back(vocab.text(id), id);
    first_bytes_[uint8_t(vocab.text(id)[0])] = true;
  }
  std::sort(tokens_.begin(), tokens_.end());
}

SpecialTokens::Match SpecialTokens::find(std::string_view text, size_t pos, bool final) const {
  if (tokens_.empty()) return {text.size(), 0, -1};
  for (; pos < text.size(); ++pos) {
    if (!first_bytes_[uint8_t(text[pos])]) continue;
    const Match match = match_at(text, pos, final);
    if (match.begin == pos) return match;
  }
  return {text.size(), 0, -1};
}

// Narrows the sorted list byte by byte to the tokens that begin like text[pos..].
SpecialTokens::Match SpecialTokens::match_at(std::string_view text, size_t pos, bool final) const {
  Match match{text.size(), 0, -1};
  auto low = tokens_.begin(), high = tokens_.end();
  for (size_t n = 0; low != high; ++n) {
    if (low->first.size() == n && n > 0) {  // the shortest sorts first; of equal texts the last id counts
      while (low != high && low->first.size() == n) match = {pos, n, (low++)->second};
      if (low == high) break;
    }
    if (pos + n == text.size()) return final ? match : Match{pos, 0, -1};
    const auto before = [n](const auto& token, uint8_t byte) { return uint8_t(token.first[n]) < byte; };
    const auto after = [n](uint8_t byte, const auto& token) { return byte < uint8_t(token.first[n]); };
    const auto byte = uint8_t(text[pos + n]);
    low = std::lower_bound(low, high, byte, before);
    high = std::upper_bound(low, high, byte, after);
  }
  return match;
}

}  // namespace reform
