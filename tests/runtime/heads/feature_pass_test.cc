// What the pass computes is what gather would, from the rows that compress makes.
#include "runtime/heads/feature_pass.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>

#include "runtime/compress/compress.h"
#include "runtime/engine/engine_impl.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/support/take.h"

using namespace reform;
using test::take;
using Memory = test::IngestBench::Memory;

namespace {

constexpr int64_t kLastLayer = 1, kSectionTokens = 300;
using Rows = std::vector<std::byte>;

// The rows of every head: of a section, or of questions asked over the first section.
class PlainRows {
 public:
  PlainRows(Engine::Impl& engine, const SearchText& text, const Heads& heads)
      : engine_(engine), text_(text), heads_(heads), layout_{int64_t(heads.size()), engine.model->shape().head_dim} {}

  Rows of_section(const PassageRange& section) { return run(text_.tokens_of(section), {}); }
  Rows of_question(const SampleQuestion& question) { return run(text_.tokens_of(text_.sections[0]), question.ids); }
  double cosine(const Rows& a, int64_t i, const Rows& b, int64_t j, int64_t head) const {
    const int64_t d = layout_.head_dim;
    const int8_t *x = layout_.values(a, i) + head * d, *y = layout_.values(b, j) + head * d;
    double sum = 0;
    for (int64_t k = 0; k < d; ++k) sum += double(x[k]) * double(y[k]);
    return sum * scale(a, i, head) * scale(b, j, head);
  }

 private:
  double scale(const Rows& rows, int64_t row, int64_t head) const {
    float value = 0;
    std::memcpy(&value, layout_.scales(rows, row) + head * 4, sizeof(value));
    return double(value);
  }
  // The rows of `asked` after the tokens; without any, those of the tokens.
  Rows run(std::span<const int32_t> tokens, std::span<const int32_t> asked) {
    const CompressOptions options{.policy = find_policy("recent"),
                                  .chunk_tokens = kSectionTokens,
                                  .cache_tokens = kSectionTokens,
                                  .sink_tokens = 4,
                                  .kv_type = engine_.kv_type()};
    const CompressSizes sizes{1 + kSectionTokens, 2 * kSectionTokens + 1};
    auto session = take(engine_.make_session<Compressor>(
        Compressor::limits(engine_.model->shape(), *engine_.device, sizes),
        [&](const Site& site) { return Compressor::create(*engine_.model, site, heads_, options, sizes); }));
    const RowsForHost rows = take(session->run_chunk(
        {}, tokens, [](double) {}, nullptr));
    REQUIRE(session->wait_for(rows).ok());
    const auto bytes = asked.empty() ? rows.bytes : take(session->run_question(asked, nullptr));
    return {bytes.begin(), bytes.end()};
  }

  Engine::Impl& engine_;
  const SearchText& text_;
  const Heads heads_;
  const EmbeddingLayout layout_;
};

double plain_feature(const PlainRows& plain, const SearchText& text, const Rows& section_rows,
                     const Rows& question_rows, const SampleQuestion& question, const PassageRange& section,
                     int64_t passage, int64_t head) {
  const int64_t first = text.begin_token(section.begin);
  double mean = 0;
  for (size_t t = 0; t < question.ids.size(); ++t) {
    double best = -1;
    for (int64_t i = text.begin_token(passage); i < text.passage_ends[size_t(passage)]; ++i)
      best = std::max(best, plain.cosine(section_rows, i - first, question_rows, int64_t(t), head));
    mean += question.weights[t] * best;
  }
  return mean;
}

}  // namespace

TEST_CASE("the pass computes what gather would from compress's rows, wherever memory is", "[runtime][heads][device]") {
  test::IngestBench bench(2, "qwen2", GENERATE(Memory::kHost, Memory::kFenced));
  Engine::Impl& engine = bench.engine().impl();
  const SearchText text = take(make_search_text(*engine.tokenizer, engine.known_tokens(), 1, kSectionTokens));
  REQUIRE(text.sections.size() > 2);
  const Heads heads = all_heads(engine.model->shape(), kLastLayer);
  const FeaturePassOptions options{.last_layer = kLastLayer, .bos = -1, .kv_type = engine.kv_type()};
  auto pass = take(engine.make_session<FeaturePass>(
      FeaturePass::limits(engine.model->shape(), *engine.device, text),
      [&](const Site& site) { return FeaturePass::create(*engine.model, site, text, options); }));
  const std::string path = std::filesystem::temp_directory_path() / ("reform-pass-" + std::to_string(::getpid()));
  FeatureShape shape{"test", 1, int64_t(heads.size()), text.n_questions(), {}};
  for (const PassageRange& section : text.sections) shape.section_passages.push_back(section.size());
  FeatureFile file = take(FeatureFile::open(path, shape));
  REQUIRE(pass->ask_questions([](double) {}, nullptr).ok());
  while (!file.complete())
    REQUIRE(pass->run_section(
                    file, [](double) {}, nullptr)
                .ok());

  PlainRows plain(engine, text, heads);
  const auto n = size_t(text.n_passages());
  std::vector<Feature> features(text.questions.size() * n);
  const PassageRange section = text.sections[1];
  const Rows section_rows = plain.of_section(section);
  for (const size_t q : {size_t(0), text.questions.size() - 1}) {
    const SampleQuestion& question = text.questions[q];
    const Rows question_rows = plain.of_question(question);
    for (int64_t head = 0; head < int64_t(heads.size()); ++head) {
      REQUIRE(file.read_head(head, features).ok());
      for (int64_t p = section.begin; p < section.end; ++p) {
        const double want = plain_feature(plain, text, section_rows, question_rows, question, section, p, head);
        CAPTURE(to_string(heads[size_t(head)]), p);
        // Half a step, and what the order of FP32 sums may do.
        CHECK(double(features[q * n + size_t(p)]) / kFeatureSteps == Approx(want).margin(1 / kFeatureSteps));
      }
    }
  }
  file.remove();
}
