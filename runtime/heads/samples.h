// The natural texts and questions that heads are chosen on (heads/samples/, compiled in).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

struct ByteRange {
  int64_t begin = 0, end = 0;
};

// Whole samples, one after the other, in an order drawn once for all.
struct JoinedSamples {
  struct Question {
    std::string text;
    int64_t sample = 0;               // whose text answers it
    std::vector<ByteRange> evidence;  // in the joined text
  };
  std::string text;
  std::vector<ByteRange> samples;  // where each lies in the text
  std::vector<Question> questions;
};

int64_t n_samples();
// The first `n` in that order. Joins of fewer samples are the beginning of joins of more.
JoinedSamples join_samples(int64_t n);

}  // namespace reform
