#include "runtime/heads/search_work.h"

#include <catch2/catch.hpp>

using namespace reform;

namespace {

// Samples of 1,600 tokens, each with 9 questions of 11 tokens.
SearchText samples(size_t n) {
  SearchText text;
  text.ids.resize(n * 1600);
  text.samples.resize(n);
  for (size_t q = 0; q < 9 * n; ++q)
    text.questions.push_back({.ids = std::vector<int32_t>(11), .weights = {}, .gold = {}});
  return text;
}

ModelShape qwen_1_5b() {
  ModelShape shape;
  shape.n_layers = 28, shape.d_model = 1536, shape.d_ff = 8960;
  shape.n_heads = 12, shape.n_kv_heads = 2, shape.head_dim = 128;
  shape.trained_window_tokens = 32768;
  return shape;
}

}  // namespace

TEST_CASE("a search's work: the measured model takes the measured time", "[runtime][heads]") {
  // One core took 22.3 ms for each token of text with all questions; reading is four fifths of a search.
  const SearchText all = samples(58);
  const double measured = double(all.ids.size()) * 0.0223 / 2 / kReadingShare;
  CHECK(search_seconds(qwen_1_5b(), 27, all, 58) == Approx(measured).epsilon(0.25));
}

TEST_CASE("a search's work grows with the layers, the samples and their pairs", "[runtime][heads]") {
  const SearchText all = samples(58);
  ModelShape shape = qwen_1_5b();
  const auto seconds = [&](int64_t last_layer, int64_t n) { return search_seconds(shape, last_layer, all, n); };
  CHECK(seconds(16, 10) / seconds(8, 10) == Approx(2).epsilon(0.02));
  CHECK(seconds(16, 20) > 2 * seconds(16, 10));  // each text with each question
  CHECK(seconds(16, 20) < 4 * seconds(16, 10));
  const double before = seconds(16, 20);
  shape.d_ff *= 2;
  CHECK(seconds(16, 20) > 1.5 * before);
}
