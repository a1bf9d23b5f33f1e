// What a search has computed survives it, and damage costs only what it touches.
#include "runtime/heads/feature_file.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/support/take.h"

using namespace reform;
using test::take;

namespace {

// A path of its own, removed at the end.
struct TempPath {
  std::string path = std::filesystem::temp_directory_path() / ("reform-features-" + std::to_string(::getpid()));
  TempPath() { std::filesystem::remove(path); }
  ~TempPath() { std::filesystem::remove(path); }
};

const FeatureShape kShape{"a model", 7, 3, 2, {5, 1, 4}};
constexpr int64_t kPassages = 10;

// A number for each head, question and passage.
Feature number(int64_t head, int64_t question, int64_t passage) {
  return Feature(1000 * head + 100 * question + passage);
}

void write_section(FeatureFile& file, int64_t first, int64_t n) {
  file.begin_section();
  for (int64_t head = 0; head < kShape.n_heads; ++head) {
    std::vector<Feature> features;
    for (int64_t q = 0; q < kShape.n_questions; ++q) {
      for (int64_t p = first; p < first + n; ++p) features.push_back(number(head, q, p));
    }
    REQUIRE(file.append(features).ok());
  }
  REQUIRE(file.end_section().ok());
}

void write_all(FeatureFile& file) { write_section(file, 0, 5), write_section(file, 5, 1), write_section(file, 6, 4); }

void flip_byte(const std::string& path, int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const char byte = char(file.get());
  file.seekp(at);
  file.put(char(byte ^ 1));
}

}  // namespace

TEST_CASE("features: a head's are read over all sections", "[runtime][heads]") {
  const TempPath temp;
  FeatureFile file = take(FeatureFile::open(temp.path, kShape));
  write_all(file);
  REQUIRE(file.complete());
  std::vector<Feature> features(size_t(kShape.n_questions * kPassages));
  for (int64_t head = 0; head < kShape.n_heads; ++head) {
    REQUIRE(file.read_head(head, features).ok());
    for (int64_t q = 0; q < kShape.n_questions; ++q) {
      for (int64_t p = 0; p < kPassages; ++p) CHECK(features[size_t(q * kPassages + p)] == number(head, q, p));
    }
  }
}

TEST_CASE("features: a search goes on after the last whole section", "[runtime][heads]") {
  const TempPath temp;
  {
    FeatureFile file = take(FeatureFile::open(temp.path, kShape));
    write_section(file, 0, 5);
    file.begin_section();  // and stops within it
    REQUIRE(file.append(std::vector<Feature>{1, 2}).ok());
  }
  FeatureFile file = take(FeatureFile::open(temp.path, kShape));
  REQUIRE(file.n_sections_done() == 1);
  CHECK(FeatureFile::n_samples_in(temp.path) == 7);
  CHECK(FeatureFile::n_samples_in(temp.path + "-of-another") == 0);
  write_section(file, 5, 1), write_section(file, 6, 4);
  CHECK(take(FeatureFile::open(temp.path, kShape)).complete());
}

TEST_CASE("features: damage costs the section and those after it, another shape or model all", "[runtime][heads]") {
  const TempPath temp;
  {
    FeatureFile file = take(FeatureFile::open(temp.path, kShape));
    write_all(file);
  }
  const int64_t second = 24 + 3 * 2 * 5 * 2 + 16;
  const auto n_left = [&](const FeatureShape& shape) {
    return take(FeatureFile::open(temp.path, shape)).n_sections_done();
  };
  CHECK(n_left(kShape) == 3);
  flip_byte(temp.path, second + 3);
  CHECK(n_left(kShape) == 1);
  flip_byte(temp.path, second + 3);
  CHECK(n_left(kShape) == 3);
  std::filesystem::resize_file(temp.path, uintmax_t(second + 5));
  CHECK(n_left(kShape) == 1);
  FeatureShape other = kShape;
  other.key = "another model";
  CHECK(n_left(other) == 0);
  CHECK(n_left(kShape) == 0);  // the file is the other's now
  std::ofstream(temp.path) << "not features";
  CHECK(n_left(kShape) == 0);
}
