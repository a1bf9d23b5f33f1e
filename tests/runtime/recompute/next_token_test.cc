#include "runtime/recompute/next_token.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <vector>

#include "base/thread_pool.h"

using namespace reform;

namespace {

int32_t sample(const SamplingOptions& options, std::mt19937_64& random, const std::vector<float>& logits) {
  int32_t id = -7;
  make_reference_ops()->draw(logits, next_draw(options, random), &id);
  return id;
}

// How often each token comes in n draws.
std::map<int32_t, int> draw(const SamplingOptions& options, const std::vector<float>& logits, int n) {
  std::mt19937_64 random(options.seed);
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; ++i) ++counts[sample(options, random, logits)];
  return counts;
}

std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(float(std::log(p)) + 3);
  return logits;
}

const SamplingOptions kAllOff{.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 11};

}  // namespace

TEST_CASE("next token: at temperature 0 the best is taken, at any other one is drawn", "[next_token]") {
  MemoryAccount account;
  ThreadPool pool(1);
  const auto device = make_cpu_device(Isa::kPortable, pool, account);
  const auto kind_at = [&](double temperature) {
    auto next = NextToken::create(*device, 5, {.temperature = temperature});
    REQUIRE(next.ok());
    return next.value().step_kind();
  };
  CHECK(kind_at(0) == StepKind::kBest);
  CHECK(kind_at(0.01) == StepKind::kDrawn);
  CHECK(kind_at(1) == StepKind::kDrawn);
}

TEST_CASE("next token: with everything off it draws the model's distribution", "[next_token]") {
  const std::vector<double> p = {0.5, 0.1, 0.25, 0.15};
  const int n = 20000;
  auto counts = draw(kAllOff, logits_of(p), n);
  // Five standard deviations of a binomial count. Swapping two tokens would be 20 of them.
  for (int32_t id = 0; id < 4; ++id) {
    const double expected = n * p[size_t(id)];
    CHECK(std::abs(counts[id] - expected) < 5 * std::sqrt(expected * (1 - p[size_t(id)])));
  }
}

TEST_CASE("next token: each filter keeps exactly what its definition keeps", "[next_token]") {
  const std::vector<float> logits = logits_of({0.4, 0.05, 0.3, 0.15, 0.1});
  struct Row {
    const char* what;
    SamplingOptions options;
    std::vector<int32_t> kept;
  };
  const auto with = [](int64_t top_k, double top_p, double min_p, double temperature = 1) {
    SamplingOptions o = kAllOff;
    o.top_k = top_k, o.top_p = top_p, o.min_p = min_p, o.temperature = temperature;
    return o;
  };
  const Row rows[] = {
      {"top-k 3", with(3, 1, 0), {0, 2, 3}},
      {"top-k 1", with(1, 1, 0), {0}},
      {"top-k past the end", with(50, 1, 0), {0, 1, 2, 3, 4}},
      {"top-p 0.69: 0.4 + 0.3 reach it", with(0, 0.69, 0), {0, 2}},
      {"top-p 0.71: they do not", with(0, 0.71, 0), {0, 2, 3}},
      {"top-p 0: one is left", with(0, 0, 0), {0}},
      {"min-p 0.3: of the best's 0.4", with(0, 1, 0.3), {0, 2, 3}},
      {"min-p 1", with(0, 1, 1), {0}},
      {"top-p is of what top-k left: 0.4 of 0.7", with(2, 0.55, 0), {0}},
      {"top-p comes before the temperature", with(0, 0.69, 0, 5), {0, 2}},
      {"min-p comes before the temperature", with(0, 1, 0.3, 5), {0, 2, 3}},
  };
  for (const Row& row : rows) {
    std::vector<int32_t> drawn;
    for (const auto& [id, count] : draw(row.options, logits, 3000)) drawn.push_back(id);
    INFO(row.what);
    CHECK(drawn == row.kept);
  }
}

TEST_CASE("next token: temperature sharpens and flattens", "[next_token]") {
  const std::vector<float> logits = logits_of({0.6, 0.4});
  SamplingOptions cold = kAllOff, hot = kAllOff;
  cold.temperature = 0.05, hot.temperature = 50;
  CHECK(draw(cold, logits, 2000)[0] > 1990);  // (0.6 / 0.4) ^ 20 = 3325 to 1
  CHECK(std::abs(draw(hot, logits, 2000)[0] - 1000) < 150);
}

TEST_CASE("next token: the same seed draws the same, another seed does not", "[next_token]") {
  std::vector<float> logits(997);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = float(i * 7919 % 997) / 200;
  SamplingOptions options{.temperature = 0.8, .seed = 5}, other = options;
  other.seed = 6;
  std::mt19937_64 a(options.seed), b(options.seed), c(other.seed);
  bool all_same = true, any_other = false;
  for (int i = 0; i < 200; ++i) {
    const int32_t drawn = sample(options, a, logits);
    all_same &= drawn == sample(options, b, logits);
    any_other |= drawn != sample(other, c, logits);
  }
  CHECK(all_same);
  CHECK(any_other);
}

TEST_CASE("next token: NaN and infinite logits are never drawn in place of a number", "[next_token]") {
  for (const auto& [id, count] : draw(kAllOff, {NAN, 1, -INFINITY, 2, NAN}, 500)) CHECK((id == 1 || id == 3));
  CHECK(draw(kAllOff, {1, INFINITY, 2}, 10)[1] == 10);
  CHECK(draw(kAllOff, {NAN, NAN}, 10)[0] == 10);
}

TEST_CASE("sampling options: out of range is a usage error naming the option", "[next_token]") {
  CHECK(SamplingOptions{}.validate().ok());
  struct Row {
    const char* name;
    SamplingOptions options;
  };
  const Row rows[] = {{"temperature", {.temperature = -0.1}},
                      {"temperature", {.temperature = NAN}},
                      {"temperature", {.temperature = INFINITY}},
                      {"top-k", {.top_k = -1}},
                      {"top-p", {.top_p = 1.5}},
                      {"top-p", {.top_p = NAN}},
                      {"min-p", {.min_p = -0.5}},
                      {"new tokens", {.max_new_tokens = -1}}};
  for (const Row& row : rows) {
    const Status status = row.options.validate();
    CHECK(status.code == Code::kUsage);
    CHECK(status.message.find(row.name) != std::string::npos);
  }
}
