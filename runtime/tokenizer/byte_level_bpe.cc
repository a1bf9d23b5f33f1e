// Byte-level BPE (GPT-2 and its many heirs). A pre-tokenizer cuts the text into words, and each byte is written as one
// printable character. Within a word, the pair with the lowest rank in the list of merges merges first.
#include <utf8cpp/utf8.h>

#include <algorithm>
#include <array>

#include "base/try.h"
#include "runtime/model/gguf.h"
#include "runtime/tokenizer/encoder.h"
#include "runtime/tokenizer/flat_map.h"
#include "runtime/tokenizer/pre_tokenizer.h"
#include "runtime/tokenizer/unicode.h"
#include "runtime/tokenizer/vocab.h"

namespace reform {

namespace {

uint64_t pair_key(int32_t left, int32_t right) { return uint64_t(uint32_t(left)) << 32 | uint32_t(right); }

class ByteLevelBpe : public Encoder {
 public:
  static Result<std::unique_ptr<Encoder>> create(const Gguf& gguf, const Vocab& vocab) {
    TRY_ASSIGN(const auto name, gguf.get_string("tokenizer.ggml.pre"));
    TRY_ASSIGN(const PreTokenizer* pre, find_pre_tokenizer(name.value_or("")));
    std::unique_ptr<ByteLevelBpe> bpe(new ByteLevelBpe(*pre, vocab));
    TRY(bpe->load_merges(gguf));
    return std::unique_ptr<Encoder>(std::move(bpe));
  }

  void encode(std::string_view text, bool, WordPart within, bool final, MergeScratch& scratch,
              TokenSink& sink) const override {
    for (size_t pos = 0; pos < text.size();) {
      const Word word = next_word(pre_, text, pos, within);
      const bool open = word.open && !final;
      std::string_view left = text.substr(pos, open ? word.n_sure_bytes : word.n_bytes);
      const WordPart rest = encode_long_front(left, within, word.part, scratch, sink);
      if (open) return;
      if (left.size() > kMaxMergedBytes) return sink.give_up();
      if (rest == WordPart::kNone) {
        encode_word(left, scratch, sink);
      } else if (!left.empty()) {
        merge_word(left, scratch);  // it may look like a word, so no word of the vocabulary or the cache will do
        put(left, scratch.tokens, sink);
      }
      sink.cut();
      pos += word.n_bytes;
      within = WordPart::kNone;
    }
  }

  std::string normal_bytes(std::string_view token_text) const override {
    std::string bytes;
    for (size_t pos = 0; pos < token_text.size();) {
      const Utf8Char c = decode_utf8(token_text, pos);
      if (c.kind == Utf8Char::Kind::kValid && c.code_point < byte_of_.size() && byte_of_[c.code_point] >= 0) {
        bytes += char(byte_of_[c.code_point]);
      } else {
        bytes += token_text.substr(pos, c.n_bytes);  // not in the alphabet: taken unchanged
      }
      pos += c.n_bytes;
    }
    return bytes;
  }

  int64_t table_bytes() const override { return merges_.bytes(); }
  bool default_add_bos() const override { return pre_.add_bos; }
  bool has_unspelt_bytes() const override { return std::count(byte_ids_.begin(), byte_ids_.end(), -1) > 0; }

 private:
  // While `left`, which begins within `within`, is longer than a window: takes the front off it whose tokens are
  // settled, if the largest window has any. Returns within what the rest begins.
  WordPart encode_long_front(std::string_view& left, WordPart within, WordPart part, MergeScratch& scratch,
                             TokenSink& sink) const {
    if (most_symbols_ > kMaxWindowedSymbols) return within;
    for (size_t window = scratch.window_bytes; left.size() > window && window <= kMaxMergedBytes;) {
      const std::string_view front = left.substr(0, window);
      const size_t n_tokens =
          settled_tokens(front, most_symbols_, scratch, [&](std::string_view piece) { merge_word(piece, scratch); });
      if (n_tokens == 0) {
        window *= 2;
        continue;
      }
      size_t n_bytes = 0;
      for (const WordToken& token : scratch.tokens) n_bytes += token.n_bytes;
      within = part_after(within == WordPart::kNone ? part : within, left.substr(0, n_bytes));
      put(left.substr(0, n_bytes), scratch.tokens, sink);
      sink.cut(within);
      left.remove_prefix(n_bytes);
      window = scratch.window_bytes;
    }
    return within;
  }

  struct Merge {
    uint32_t rank;
    int32_t id;
  };

  ByteLevelBpe(const PreTokenizer& pre, const Vocab& vocab) : pre_(pre), vocab_(vocab) {
    byte_of_.fill(-1);
    const auto points = byte_alphabet();
    for (size_t b = 0; b < 256; ++b) {
      utf8::append(char32_t(points[b]), byte_texts_[b]);
      byte_of_[points[b]] = int16_t(b);
      byte_ids_[b] = find_plain(byte_texts_[b]);
    }
  }

  int32_t find_plain(std::string_view text) const {
    const int32_t id = vocab_.find(text);
    return id >= 0 && !vocab_.is_control(id) ? id : -1;
  }

  Status load_merges(const Gguf& gguf) {
    TRY_ASSIGN(const auto lines, gguf.get_strings("tokenizer.ggml.merges"));
    if (!lines) return {Code::kBadModel, "tokenizer.ggml.merges is missing: byte-level BPE needs its merges"};
    merges_ = FlatMap<Merge>(lines->size());
    std::string product;
    for (size_t rank = 0; rank < lines->size(); ++rank) {
      const std::string_view line = (*lines)[rank];
      const size_t space = line.find(' ', 1);  // a side is never empty
      const auto fail = [&](const std::string& what) {
        return Status{Code::kBadModel, "tokenizer.ggml.merges, entry " + std::to_string(rank) + ": " + what};
      };
      if (space == std::string_view::npos || space + 1 == line.size())
        return fail("expected two tokens with a space between");
      product.assign(line.substr(0, space)).append(line.substr(space + 1));
      const int32_t left = vocab_.find(line.substr(0, space)), right = vocab_.find(line.substr(space + 1));
      const int32_t id = vocab_.find(product);
      if (left < 0 || right < 0 || id < 0) return fail("merges tokens that are not in the vocabulary");
      if (vocab_.is_control(id)) continue;
      merges_.insert(pair_key(left, right), {uint32_t(rank), id});
      const auto is_first_byte = [](char c) { return (uint8_t(c) & 0xc0) != 0x80; };
      most_symbols_ = std::max(most_symbols_, size_t(std::count_if(product.begin(), product.end(), is_first_byte)));
    }
    return ok_status();
  }

  void encode_word(std::string_view word, MergeScratch& scratch, TokenSink& sink) const {
    if (scratch.cache.find(word, scratch.tokens)) return put(word, scratch.tokens, sink);
    scratch.tokens.clear();
    if (!whole_word(word, scratch)) merge_word(word, scratch);
    scratch.cache.put(word, scratch.tokens);
    put(word, scratch.tokens, sink);
  }

  bool whole_word(std::string_view word, MergeScratch& scratch) const {
    if (!pre_.whole_word_first || word.size() > kMaxWholeWordBytes) return false;
    scratch.text.clear();
    for (const char byte : word) {
      if (byte_ids_[uint8_t(byte)] < 0) return false;
      scratch.text += byte_texts_[uint8_t(byte)];
    }
    const int32_t id = find_plain(scratch.text);
    if (id >= 0) scratch.tokens.push_back({id, uint32_t(word.size())});
    return id >= 0;
  }

  void merge_word(std::string_view word, MergeScratch& scratch) const {
    scratch.symbols.clear();
    scratch.tokens.clear();
    // Bytes without a token count to the symbol before them in the word, or to the first one if they begin the word.
    for (size_t i = 0; i < word.size(); ++i) {
      const int32_t id = byte_ids_[uint8_t(word[i])], n = int32_t(scratch.symbols.size());
      if (id >= 0) scratch.symbols.push_back({id, n == 0 ? 0 : uint32_t(i), n == 0 ? uint32_t(i) : 0, n - 1, n + 1});
      if (!scratch.symbols.empty()) ++scratch.symbols.back().n_bytes;
    }
    if (scratch.symbols.empty()) return;
    scratch.symbols.back().next = -1;
    merge_symbols(scratch, [this](const Symbol& left, const Symbol& right, MergeCandidate& candidate) {
      const Merge* merge = merges_.find(pair_key(left.id, right.id));
      if (merge == nullptr) return false;
      candidate.priority = merge->rank;
      candidate.id = merge->id;
      return true;
    });
    for (int32_t i = 0; i >= 0; i = scratch.symbols[size_t(i)].next)
      scratch.tokens.push_back({scratch.symbols[size_t(i)].id, scratch.symbols[size_t(i)].n_bytes});
  }

  static void put(std::string_view word, const std::vector<WordToken>& tokens, TokenSink& sink) {
    if (tokens.empty()) return sink.unspelt(word.size());
    for (const WordToken& token : tokens) sink.token(token.id, token.n_bytes);
  }

  static constexpr size_t kMaxWholeWordBytes = 1024;  // longer than any token

  const PreTokenizer& pre_;
  const Vocab& vocab_;
  std::array<std::string, 256> byte_texts_;  // each byte as a character of the alphabet, UTF-8
  std::array<int32_t, 256> byte_ids_;        // -1: the vocabulary lacks the byte, so it is dropped
  std::array<int16_t, 512> byte_of_;         // by code point of the alphabet; -1: none
  FlatMap<Merge> merges_;
  size_t most_symbols_ = 1;  // of a product of merges
};

}  // namespace

Result<std::unique_ptr<Encoder>> create_byte_level_bpe(const Gguf& gguf, const Vocab& vocab) {
  return ByteLevelBpe::create(gguf, vocab);
}

}  // namespace reform
