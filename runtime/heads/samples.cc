#include "runtime/heads/samples.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <utility>

#include "base/try.h"

namespace reform {
namespace {

// The texts of heads/samples/*.json, which CMake puts into this file.
constexpr const char* kSamples[] = {
#include "head_samples_data.inc"
};

constexpr uint64_t kOrderSeed = 5;  // places neighbours of other kinds and languages beside each other

std::vector<size_t> sample_order() {
  std::vector<size_t> order(std::size(kSamples));
  std::iota(order.begin(), order.end(), size_t(0));
  std::mt19937_64 rng(kOrderSeed);
  // The same with every library, unlike std::shuffle.
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[size_t(rng() % i)]);
  return order;
}

std::string joined_lines(const nlohmann::json& lines) {
  std::string text;
  for (const auto& line : lines) text += (text.empty() ? "" : "\n") + line.get<std::string>();
  return text;
}

}  // namespace

int64_t n_samples() { return int64_t(std::size(kSamples)); }

JoinedSamples join_samples(int64_t n) {
  JoinedSamples joined;
  const std::vector<size_t> order = sample_order();
  for (int64_t i = 0; i < n; ++i) {
    const auto sample = nlohmann::json::parse(kSamples[order[size_t(i)]]);
    const std::string text = joined_lines(sample.at("text"));
    const auto begin = int64_t(joined.text.size());
    for (const auto& asked : sample.at("questions")) {
      JoinedSamples::Question question{asked.at("question"), i, {}};
      for (const auto& quoted : asked.at("evidence")) {
        const auto evidence = quoted.get<std::string>();
        const size_t at = text.find(evidence);
        CHECK(at != std::string::npos);
        question.evidence.push_back({begin + int64_t(at), begin + int64_t(at + evidence.size())});
      }
      joined.questions.push_back(std::move(question));
    }
    joined.text += text + "\n\n";
    joined.samples.push_back({begin, int64_t(joined.text.size())});
  }
  return joined;
}

}  // namespace reform
