// What a search has computed, kept in the cache directory so that a stopped search goes on: for each head, question and
// passage the mean over the question's tokens, by their weights, of the largest cosine in the passage. Not a lasting
// format: a file that does not fit is made anew.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"

namespace reform {

using Feature = int16_t;  // in steps of 1 / 32,767, as some heads' cosines all lie within a few thousandths
inline constexpr double kFeatureSteps = 32767;

struct FeatureShape {
  std::string key;  // what determines the features: the model, the samples' tokens
  int64_t n_samples = 0, n_heads = 0, n_questions = 0;
  std::vector<int64_t> section_passages;  // [n_sections]

  int64_t section_elems(size_t section) const { return n_heads * n_questions * section_passages[section]; }
};

// The file: a hash of the shape and the number of samples; then for each section its features, [n_heads, n_questions,
// its passages], and their hash.
class FeatureFile {
 public:
  // Keeps the sections that are there, whole and of this shape, and drops the rest.
  static Result<FeatureFile> open(const std::string& path, FeatureShape shape);

  void remove();  // once its features have served
  // The samples of the search that the file was begun for; 0: there is none.
  static int64_t n_samples_in(const std::string& path);
  int64_t n_sections_done() const { return n_done_; }
  bool complete() const { return n_done_ == int64_t(shape_.section_passages.size()); }

  // The next section's features, in pieces. It counts once it has ended.
  void begin_section();
  Status append(std::span<const Feature> features);
  Status end_section();

  // features [n_questions, all passages] of one head. The file must be complete.
  Status read_head(int64_t head, std::span<Feature> features);

 private:
  FeatureFile(std::string path, FeatureShape shape) : path_(std::move(path)), shape_(std::move(shape)) {}
  Status create();
  int64_t section_begin(int64_t section) const;  // in the file, in bytes
  bool section_is_whole(int64_t section);
  Status failed(const char* what) const;

  std::string path_;
  FeatureShape shape_;
  std::fstream file_;
  int64_t n_done_ = 0;
  RunningHash hash_;  // of the section being written
};

}  // namespace reform
