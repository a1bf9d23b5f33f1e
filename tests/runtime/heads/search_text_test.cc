// The samples in a model's tokens.
#include "runtime/heads/search_text.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>
#include <string>

#include "runtime/gather/passage_cutter.h"
#include "runtime/gather/words.h"
#include "runtime/heads/samples.h"
#include "runtime/tokenizer/tokenizer.h"
#include "tests/runtime/support/model_support.h"

using namespace reform;
using test::take;

namespace {

std::unique_ptr<Tokenizer> tiny_tokenizer(const std::string& name) {
  const auto gguf = take(Gguf::open(test::tiny_path(name)));
  return take(Tokenizer::create(*gguf));
}

std::string bytes_of(const SearchText& text, const Tokenizer& tokenizer, int64_t begin, int64_t end) {
  std::string bytes;
  for (int64_t p = begin; p < end; ++p) {
    for (const int32_t id : text.tokens_of({p, p + 1})) bytes += tokenizer.token_bytes(id, true);
  }
  return bytes;
}

}  // namespace

TEST_CASE("samples: joins of fewer are the beginning of joins of more, and evidence stands where it is said to",
          "[runtime][heads]") {
  const JoinedSamples few = join_samples(3), all = join_samples(n_samples());
  CHECK(n_samples() >= 50);
  CHECK(all.questions.size() >= 500);
  CHECK(all.text.starts_with(few.text));
  for (const auto& question : all.questions) {
    REQUIRE_FALSE(question.evidence.empty());
    const ByteRange& own = all.samples[size_t(question.sample)];
    for (const ByteRange& e : question.evidence) CHECK((own.begin <= e.begin && e.begin < e.end && e.end <= own.end));
  }
}

TEST_CASE("search text: passages are gather's, sections hold whole ones, and gold passages hold the evidence",
          "[runtime][heads]") {
  const auto tokenizer = tiny_tokenizer("qwen2");
  const TokenTable table(*tokenizer);
  constexpr int64_t kSamples = 6, kSectionTokens = 700;
  const SearchText text = take(make_search_text(*tokenizer, table, kSamples, kSectionTokens));
  PassageCutter cutter(table);
  std::vector<int64_t> cuts = cutter.add(text.ids);
  if (cuts.back() < int64_t(text.ids.size())) cuts.push_back(int64_t(text.ids.size()));
  CHECK(text.passage_ends == cuts);

  int64_t next = 0;
  for (const PassageRange& section : text.sections) {
    CHECK(section.begin == next);
    CHECK(section.size() > 0);
    CHECK(int64_t(text.tokens_of(section).size()) <= kSectionTokens);
    next = section.end;
  }
  CHECK(next == text.n_passages());

  const JoinedSamples joined = join_samples(kSamples);
  REQUIRE(joined.questions.size() == text.questions.size());
  for (size_t q = 0; q < text.questions.size(); ++q) {
    const SampleQuestion& question = text.questions[q];
    CHECK(std::accumulate(question.weights.begin(), question.weights.end(), 0.0) == Approx(1));
    REQUIRE_FALSE(question.gold.empty());
    for (const ByteRange& e : joined.questions[q].evidence) {
      const std::string evidence = joined.text.substr(size_t(e.begin), size_t(e.end - e.begin));
      // Passages that follow each other may share it.
      bool found = false;
      for (size_t first = 0; first < question.gold.size(); ++first) {
        size_t last = first;
        while (last + 1 < question.gold.size() && question.gold[last + 1] == question.gold[last] + 1) ++last;
        const std::string bytes = bytes_of(text, *tokenizer, question.gold[first], question.gold[last] + 1);
        found = found || bytes.find(evidence) != std::string::npos;
      }
      CAPTURE(evidence);
      CHECK(found);
    }
    const PassageRange& own = text.samples[size_t(question.sample)];
    CHECK((own.begin <= question.gold.front() && question.gold.back() < own.end));
  }
}

TEST_CASE("search text: the share of a question's words is gather's", "[runtime][heads]") {
  const auto tokenizer = tiny_tokenizer("llama3");
  const TokenTable table(*tokenizer);
  const SearchText text = take(make_search_text(*tokenizer, table, 2, 1000));
  for (const SampleQuestion& question : {text.questions.front(), text.questions.back()}) {
    const std::vector<float> shares = word_shares(text, table, question);
    QuestionWords words(table, question.ids);
    for (int64_t p = 0; p < text.n_passages(); p += 3) {
      double want = 0;
      const std::span<const float> of_tokens = words.shares_in(text.tokens_of({p, p + 1}));
      for (size_t t = 0; t < question.ids.size(); ++t) want += double(of_tokens[t]) * question.weights[t];
      CHECK(double(shares[size_t(p)]) == Approx(want).margin(1e-6));
    }
  }
}
