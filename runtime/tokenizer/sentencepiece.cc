// SentencePiece's BPE as llama.cpp runs it. Spaces become U+2581. The characters of a stretch of text merge by the
// product's score, the highest first. A character without a token is spelt in byte tokens.
//
// A stretch is cut into words where no merge can cross: between two characters that are neighbours in no token of this
// vocabulary. That changes no token, bounds a stream's memory, and makes a cache of words possible.
#include <algorithm>
#include <array>
#include <bit>

#include "base/try.h"
#include "runtime/model/gguf.h"
#include "runtime/tokenizer/encoder.h"
#include "runtime/tokenizer/flat_map.h"
#include "runtime/tokenizer/unicode.h"
#include "runtime/tokenizer/vocab.h"

namespace reform {
namespace {

constexpr uint32_t kSpaceMark = 0x2581;  // "▁"
constexpr std::string_view kSpaceMarkText = "\xe2\x96\x81";

uint64_t pair_key(uint32_t left, uint32_t right) { return uint64_t(left) << 32 | right; }

// Orders scores as unsigned integers, the highest score first.
uint32_t priority_of(float score) {
  const auto bits = std::bit_cast<uint32_t>(score == 0 ? 0.0f : score);
  return bits & 0x80000000u ? bits : 0x7fffffffu - bits;
}

class SentencePiece : public Encoder {
 public:
  static Result<std::unique_ptr<Encoder>> create(const Gguf& gguf, const Vocab& vocab) {
    if (!gguf.has("tokenizer.ggml.scores"))
      return Status{Code::kBadModel, "tokenizer.ggml.scores is missing: a SentencePiece vocabulary needs its scores"};
    TRY_ASSIGN(const auto prefix, gguf.get_bool("tokenizer.ggml.add_space_prefix"));
    return std::unique_ptr<Encoder>(new SentencePiece(vocab, prefix.value_or(true)));
  }

  void encode(std::string_view text, bool at_start, WordPart, bool final, MergeScratch& scratch,
              TokenSink& sink) const override {
    if (text.empty()) return;
    // The current word: text[begin, pos), with the prefix before it if `prefix`.
    bool prefix = at_start && space_prefix_;
    size_t begin = 0;
    uint32_t last = prefix ? kSpaceMark : 0;
    size_t window = scratch.window_bytes;
    for (size_t pos = 0; pos < text.size();) {
      const Utf8Char c = decode_utf8(text, pos);
      const uint32_t point = c.code_point == ' ' ? kSpaceMark : c.code_point;
      if ((pos > 0 || prefix) && pairs_.find(pair_key(last, point)) == nullptr) {
        encode_word(text.substr(begin, pos - begin), prefix, scratch, sink);
        sink.cut();
        begin = pos;
        prefix = false;
        window = scratch.window_bytes;
      } else if (pos - begin > window) {
        const size_t n_taken = encode_front(text.substr(begin, pos - begin), prefix, scratch, sink);
        window = n_taken > 0 ? scratch.window_bytes : 2 * window;
        prefix &= n_taken == 0;
        begin += n_taken;
      }
      if (pos - begin > kMaxMergedBytes) return sink.give_up();
      last = point;
      pos += c.n_bytes;
    }
    if (!final) return;
    if (text.size() - begin > kMaxMergedBytes) return sink.give_up();
    encode_word(text.substr(begin), prefix, scratch, sink);
    sink.cut();
  }

  std::string normal_bytes(std::string_view token_text) const override {
    std::string bytes;
    for (size_t pos = 0; pos < token_text.size();) {
      const bool space = token_text.substr(pos, kSpaceMarkText.size()) == kSpaceMarkText;
      bytes += space ? ' ' : token_text[pos];
      pos += space ? kSpaceMarkText.size() : 1;
    }
    return bytes;
  }

  int64_t table_bytes() const override { return pairs_.bytes(); }
  bool default_add_bos() const override { return true; }
  bool adds_space_prefix() const override { return space_prefix_; }
  bool has_unspelt_bytes() const override { return has_unspelt_bytes_; }
  // A blank without a token is spelt in the bytes of U+2581.
  int64_t most_tokens_per_byte() const override { return find_mergeable(kSpaceMarkText) >= 0 ? 1 : 3; }

 private:
  SentencePiece(const Vocab& vocab, bool space_prefix) : vocab_(vocab), space_prefix_(space_prefix) {
    constexpr char kHex[] = "0123456789ABCDEF";
    for (size_t b = 0; b < 256; ++b) {
      const std::string text = {'<', '0', 'x', kHex[b >> 4], kHex[b & 15], '>'};
      const int32_t id = vocab.find(text);
      byte_ids_[b] = id >= 0 && vocab.kind(id) == TokenKind::kByte ? id : vocab.unknown();
      has_unspelt_bytes_ |= byte_ids_[b] < 0;
    }
    for (int32_t id = 0; id < vocab.size(); ++id)
      if (can_merge(id)) add_text(vocab.text(id));
  }

  // Text that spells the name of a control, unknown or byte token never becomes that token.
  bool can_merge(int32_t id) const { return !vocab_.is_control(id) && vocab_.kind(id) != TokenKind::kByte; }

  void add_text(std::string_view text) {
    uint32_t last = 0;
    size_t n_chars = 0;
    for (size_t pos = 0; pos < text.size(); ++n_chars) {
      const Utf8Char c = decode_utf8(text, pos);
      if (c.kind != Utf8Char::Kind::kValid) return;  // valid text never merges into this token
      if (pos > 0) pairs_.insert(pair_key(last, c.code_point), true);
      last = c.code_point;
      pos += c.n_bytes;
    }
    most_symbols_ = std::max(most_symbols_, n_chars);
  }

  int32_t find_mergeable(std::string_view text) const {
    const int32_t id = vocab_.find(text);
    return id >= 0 && can_merge(id) ? id : -1;
  }

  // `source` is the word as it is in the text, without the prefix.
  static void spell_word(std::string_view source, bool prefix, std::string& word) {
    word.clear();
    if (prefix) word += kSpaceMarkText;
    for (const char c : source) {
      if (c == ' ') {
        word += kSpaceMarkText;
      } else {
        word += c;
      }
    }
  }

  // Encodes those tokens of `source`, the front of a long word, that are settled. Returns how many bytes they cover.
  size_t encode_front(std::string_view source, bool prefix, MergeScratch& scratch, TokenSink& sink) const {
    if (most_symbols_ > kMaxWindowedSymbols) return 0;
    std::string& word = scratch.text;
    spell_word(source, prefix, word);
    const size_t n_tokens =
        settled_tokens(word, most_symbols_, scratch, [&](std::string_view piece) { merge_word(piece, scratch); });
    if (n_tokens == 0) return 0;
    const size_t n_bytes = put(source, prefix, scratch.tokens, sink);
    sink.cut();
    return n_bytes;
  }

  void encode_word(std::string_view source, bool prefix, MergeScratch& scratch, TokenSink& sink) const {
    std::string& word = scratch.text;
    spell_word(source, prefix, word);
    if (!scratch.cache.find(word, scratch.tokens)) {
      merge_word(word, scratch);
      scratch.cache.put(word, scratch.tokens);
    }
    put(source, prefix, scratch.tokens, sink);
  }

  void merge_word(std::string_view word, MergeScratch& scratch) const {
    scratch.symbols.clear();
    scratch.tokens.clear();
    for (size_t pos = 0; pos < word.size();) {
      const uint32_t n_bytes = decode_utf8(word, pos).n_bytes;
      const auto n = int32_t(scratch.symbols.size());
      scratch.symbols.push_back({find_mergeable(word.substr(pos, n_bytes)), uint32_t(pos), n_bytes, n - 1, n + 1});
      pos += n_bytes;
    }
    if (scratch.symbols.empty()) return;
    scratch.symbols.back().next = -1;
    merge_symbols(scratch, [&](const Symbol& left, const Symbol& right, MergeCandidate& candidate) {
      candidate.id = find_mergeable(word.substr(left.begin, left.n_bytes + right.n_bytes));
      if (candidate.id < 0) return false;
      candidate.priority = priority_of(vocab_.score(candidate.id));
      return true;
    });
    for (int32_t i = 0; i >= 0; i = scratch.symbols[size_t(i)].next)
      scratch.tokens.push_back({scratch.symbols[size_t(i)].id, scratch.symbols[size_t(i)].n_bytes});
  }

  // Walks word and source side by side. A space mark of ours is one byte of the source, or none if it is the prefix.
  // Returns how many bytes of the source the tokens cover.
  size_t put(std::string_view source, bool prefix, const std::vector<WordToken>& tokens, TokenSink& sink) const {
    size_t pos = 0;
    for (const WordToken& token : tokens) {
      const size_t begin = pos;
      for (size_t n = 0; n < token.n_bytes;) {
        if (prefix) {
          n += kSpaceMarkText.size();
          prefix = false;
          continue;
        }
        const size_t n_source = decode_utf8(source, pos).n_bytes;
        n += source[pos] == ' ' ? kSpaceMarkText.size() : n_source;
        pos += n_source;
      }
      if (token.id >= 0) {
        sink.token(token.id, pos - begin);
      } else {
        const std::string_view character = source.substr(begin, pos - begin);
        const bool is_mark = character.empty() || character == " ";
        spell(is_mark ? kSpaceMarkText : character, character.size(), sink);
      }
    }
    return pos;
  }

  // Spells a character without a token byte by byte, or as the unknown token. A space mark has more bytes than the
  // source (which has one, or none for the prefix): its last byte covers the source's.
  void spell(std::string_view character, size_t n_source, TokenSink& sink) const {
    const int32_t first = byte_ids_[uint8_t(character[0])];
    if (first >= 0 && first == vocab_.unknown()) return sink.token(first, n_source);
    for (size_t i = 0; i < character.size(); ++i) {
      const size_t n_last = i + 1 == character.size() ? n_source : 0;
      const size_t n_bytes = n_source == character.size() ? 1 : n_last;
      const int32_t id = byte_ids_[uint8_t(character[i])];
      if (id >= 0) {
        sink.token(id, n_bytes);
      } else {
        sink.unspelt(n_bytes);
      }
    }
  }

  const Vocab& vocab_;
  const bool space_prefix_;
  bool has_unspelt_bytes_ = false;
  std::array<int32_t, 256> byte_ids_;  // the byte's token, else the unknown token, else -1
  FlatMap<bool> pairs_;                // true for characters that are neighbours in a token that text can become
  size_t most_symbols_ = 1;            // of a token that text can become
};

}  // namespace

Result<std::unique_ptr<Encoder>> create_sentencepiece(const Gguf& gguf, const Vocab& vocab) {
  return SentencePiece::create(gguf, vocab);
}

}  // namespace reform
