// The vocabulary of a GGUF: texts, kinds and scores by id, ids by text, and the special tokens.
// Everything is copied out of the file and checked: a Vocab has no id outside itself.
// Thread-safety: immutable after load().
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/gguf_vocabulary.h"

namespace reform {

class Gguf;

class Vocab {
 public:
  static Result<Vocab> load(const Gguf& gguf);

  int32_t size() const { return int32_t(kinds_.size()); }
  int64_t table_bytes() const {
    return int64_t(blob_.capacity() + begins_.capacity() * sizeof(size_t) + kinds_.capacity() +
                   scores_.capacity() * sizeof(float) + is_end_.capacity() / 8 + slots_.capacity() * sizeof(int32_t));
  }
  bool contains(int32_t id) const { return id >= 0 && id < size(); }
  std::string_view text(int32_t id) const {
    return std::string_view(blob_).substr(begins_[size_t(id)], begins_[size_t(id) + 1] - begins_[size_t(id)]);
  }
  TokenKind kind(int32_t id) const { return kinds_[size_t(id)]; }
  // Control and unknown tokens: text never becomes them.
  bool is_control(int32_t id) const { return kind(id) == TokenKind::kControl || kind(id) == TokenKind::kUnknown; }
  float score(int32_t id) const { return scores_.empty() ? 0 : scores_[size_t(id)]; }
  // The id with this text (of several the last, as in Hugging Face's and llama.cpp's maps); -1: none.
  int32_t find(std::string_view text) const;

  int32_t bos() const { return bos_; }          // -1: none; likewise unknown()
  int32_t unknown() const { return unknown_; }  // for text that the vocabulary cannot spell
  bool is_end(int32_t id) const { return contains(id) && is_end_[size_t(id)]; }
  void set_end(int32_t id) { is_end_[size_t(id)] = true; }  // before the vocabulary is shared

 private:
  Status load_tokens(const Gguf& gguf);
  Status load_kinds(const Gguf& gguf);
  Status load_scores(const Gguf& gguf);
  Status load_special_ids(const Gguf& gguf);
  void mark_known_controls();
  void build_index();

  std::string blob_;              // all texts, one after the other
  std::vector<size_t> begins_;    // [n_vocab + 1] offsets into blob_
  std::vector<TokenKind> kinds_;  // [n_vocab]
  std::vector<float> scores_;     // [n_vocab], or empty
  std::vector<bool> is_end_;      // [n_vocab]
  std::vector<int32_t> slots_;    // ids by hash of the text, open-addressed; -1: free
  int32_t bos_ = -1, unknown_ = -1;
};

// Finds the tokens that are cut out of a text before anything else: the leftmost, and of several there the longest.
class SpecialTokens {
 public:
  SpecialTokens() = default;
  // User-defined tokens; with `control` also control and unknown ones.
  SpecialTokens(const Vocab& vocab, bool control);

  struct Match {
    size_t begin;  // where it begins; text.size(): nowhere
    size_t n_bytes;
    int32_t id;  // -1: none; if begin is before the end, only more text can tell
  };
  // Looks from `pos` on. With `final` no more text will come.
  Match find(std::string_view text, size_t pos, bool final) const;

 private:
  Match match_at(std::string_view text, size_t pos, bool final) const;

  std::vector<std::pair<std::string, int32_t>> tokens_;  // sorted by text
  bool first_bytes_[256] = {};
};

}  // namespace reform
