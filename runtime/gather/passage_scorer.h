// Scores a context's passages against a question by late interaction, as their ids and rows stream by.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/gather/passage_cutter.h"
#include "runtime/gather/scorer.h"
#include "runtime/gather/words.h"

namespace reform {

class PassageScorer {
 public:
  static constexpr int64_t kMaxPassages = 64;  // that are scored in one call of the op

  // One passage against the query. The spans live during the call.
  struct Passage {
    int64_t begin_token = 0, end_token = 0;
    std::span<const float> cosines;   // [n_heads, n_query], the largest of the passage's tokens
    std::span<const float> shares;    // [n_query]: of its words (words.h)
    std::span<const std::byte> rows;  // as stored
  };
  using OnPassage = std::function<void(const Passage&)>;

  // `scorer` has the query's rows; query_ids [n_query] are their tokens.
  PassageScorer(Scorer& scorer, const TokenTable& table, std::span<const int32_t> query_ids, OnPassage on_passage);

  // The context's next tokens and their rows, in pieces of any size.
  Status add(std::span<const int32_t> ids, std::span<const std::byte> rows);
  Status end();  // of the context: its last passage ends here

 private:
  // Scores passages that follow each other, the first of which begins at open_begin_.
  Status score(std::span<const int32_t> ids, std::span<const std::byte> rows, std::span<const int64_t> ends);
  void keep_open(std::span<const int32_t> ids, std::span<const std::byte> rows);

  Scorer& scorer_;
  const OnPassage on_passage_;
  PassageCutter cutter_;
  QuestionWords words_;
  // The passage that has begun and not ended: it waits for the next piece.
  int64_t open_begin_ = 0;
  std::vector<int32_t> open_ids_;
  std::vector<std::byte> open_rows_;
};

}  // namespace reform
