// A policy of a kind that the list does not have, a row and a class of this file, which needs no change elsewhere; and
// what the list's policies keep from chunk to chunk.
#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/method_bench.h"

using namespace reform;
using test::MethodBench;
using test::SavedParts;

namespace {

// Merges slots: those behind the sinks become budget - sinks groups of neighbours, and each group becomes one slot. It
// gets the key of its newest slot and the mean of the values, in which a slot counts for all the tokens it stands for.
// The policy has state per slot, and one number in host memory. Only for FP32 in memory that the host sees.
class Merging final : public EvictionPolicy {
 public:
  Merging(const PolicySetup& setup, Buffer<float> weights) : setup_(setup), weights_(std::move(weights)) {}

  void evict(int64_t layer, const KvView& cache) override {
    REQUIRE(cache.type == KvView::Type::kF32);
    const int64_t n_groups = setup_.budget - setup_.sinks, n_slots = cache.kv_len - setup_.sinks;
    for (int64_t g = 0; g < n_groups; ++g) {
      merge(layer, cache, setup_.sinks + g * n_slots / n_groups, setup_.sinks + (g + 1) * n_slots / n_groups,
            setup_.sinks + g);
    }
    std::fill(weights(layer) + setup_.budget, weights(layer) + setup_.capacity, 1.0f);
    if (layer == 0) n_merged_ += cache.kv_len - setup_.budget;
  }

  void reset() override {
    std::ranges::fill(weights_.span(), 1.0f);
    n_merged_ = 0;
  }

  std::vector<StatePart> state(int64_t layer) override {
    std::vector<StatePart> parts = {{.name = fmt::format("weights {} f32", layer),
                                     .data = reinterpret_cast<std::byte*>(weights(layer)),
                                     .slot_bytes = sizeof(float)}};
    if (layer == 0) {
      parts.push_back({.name = "merged i64",
                       .data = reinterpret_cast<std::byte*>(&n_merged_),
                       .fixed_bytes = sizeof(n_merged_),
                       .on_host = true});
    }
    return parts;
  }

 private:
  float* weights(int64_t layer) { return weights_.data() + layer * setup_.capacity; }

  // Slots [begin, end) become slot `to` <= begin.
  void merge(int64_t layer, const KvView& cache, int64_t begin, int64_t end, int64_t to) {
    float* const weight = weights(layer);
    const float sum = std::accumulate(weight + begin, weight + end, 0.0f);
    for (int64_t g = 0; g < cache.n_kv_heads; ++g) {
      float* const keys = static_cast<float*>(cache.k) + g * cache.capacity * cache.head_dim;
      float* const values = static_cast<float*>(cache.v) + g * cache.capacity * cache.head_dim;
      for (int64_t i = 0; i < cache.head_dim; ++i) {
        float mean = 0;
        for (int64_t s = begin; s < end; ++s) mean += weight[s] / sum * values[s * cache.head_dim + i];
        values[to * cache.head_dim + i] = mean;
        keys[to * cache.head_dim + i] = keys[(end - 1) * cache.head_dim + i];
      }
    }
    weight[to] = sum;
  }

  const PolicySetup setup_;
  Buffer<float> weights_;  // [n_layers, capacity] the tokens that each slot stands for
  int64_t n_merged_ = 0;   // slots that were merged away
};

Result<std::unique_ptr<EvictionPolicy>> make_merging(const PolicySetup& setup) {
  TRY_ASSIGN(auto weights,
             Buffer<float>::create(setup.account(), MemoryCategory::kKvCache, setup.n_layers * setup.capacity));
  return std::unique_ptr<EvictionPolicy>(std::make_unique<Merging>(setup, std::move(weights)));
}

constexpr Policy kMerging = {"merging", "neighbours become one slot", make_merging};

std::vector<float> floats_of(const SavedParts& parts, const std::string& name) {
  const auto found = std::ranges::find(parts, name, [](const auto& part) { return part.first; });
  REQUIRE(found != parts.end());
  std::vector<float> values(found->second.size() / sizeof(float));
  std::memcpy(values.data(), found->second.data(), found->second.size());
  return values;
}

// A context stopped halfway: its state there, the rows of the rest of the text, and the state at the end.
struct Halves {
  SavedParts middle, end;
  std::vector<std::byte> rows;  // of the second half
};

Halves run_halves(MethodBench& bench, const std::vector<int32_t>& text) {
  const size_t half = size_t(bench.options.chunk_tokens) * 2;
  const auto c = bench.compressor();
  Halves run;
  bench.ingest(*c, text, 0, half);
  run.middle = test::saved_parts(*c);
  run.rows = bench.ingest(*c, text, half, text.size());
  run.end = test::saved_parts(*c);
  return run;
}

void check_goes_on(MethodBench& bench, const std::vector<int32_t>& text, const Halves& never_stopped) {
  const auto c = bench.compressor();
  test::load_parts(*c, never_stopped.middle);
  const size_t half = size_t(bench.options.chunk_tokens) * 2;
  CHECK((bench.ingest(*c, text, half, text.size()) == never_stopped.rows));
  CHECK((test::saved_parts(*c) == never_stopped.end));
}

}  // namespace

TEST_CASE("a policy may merge slots and keep state of its own, which a checkpoint saves", "[runtime][policy]") {
  const auto golden = test::read_golden();
  const std::vector<int32_t>& text = golden.ints.at("text");
  MethodBench bench(golden, "recent", Isa::kRef);
  const auto recent = run_halves(bench, text);
  bench.options.policy = &kMerging;
  const auto merged = run_halves(bench, text);
  CHECK((merged.rows != recent.rows));
  check_goes_on(bench, text, merged);

  // Only slots are lost: the rest stand for all tokens there were.
  for (const char* part : {"weights 0 f32", "weights 1 f32"}) {
    const std::vector<float> weights = floats_of(merged.end, part);
    CHECK(int64_t(weights.size()) == bench.options.cache_tokens);
    CHECK(std::accumulate(weights.begin(), weights.end(), 0.0) == Approx(double(text.size())));
  }
  const auto number = std::ranges::find(merged.end, "merged i64", [](const auto& part) { return part.first; });
  REQUIRE((number != merged.end.end() && number->second.size() == sizeof(int64_t)));
  int64_t n_merged = 0;
  std::memcpy(&n_merged, number->second.data(), sizeof(n_merged));
  CHECK(n_merged == int64_t(text.size()) - bench.options.cache_tokens);

  // The state matters: with other weights, the rest of the text comes out differently.
  SavedParts planted = merged.middle;
  for (auto& [name, bytes] : planted) {
    if (name == "weights 0 f32") std::rotate(bytes.begin(), bytes.end() - ptrdiff_t(sizeof(float)), bytes.end());
  }
  const auto c = bench.compressor();
  test::load_parts(*c, planted);
  CHECK((bench.ingest(*c, text, size_t(bench.options.chunk_tokens) * 2, text.size()) != merged.rows));
}

TEST_CASE("state of a fixed size is refused in any other", "[runtime][policy]") {
  const auto golden = test::read_golden();
  MethodBench bench(golden, "recent", Isa::kRef);
  bench.options.policy = &kMerging;
  const auto c = bench.compressor();
  bench.ingest(*c, golden.ints.at("text"));
  const SavedParts parts = test::saved_parts(*c);
  const auto other = bench.compressor();
  int64_t index = 0;
  for (; parts[size_t(index)].first != "merged i64"; ++index) {
    REQUIRE(other->load_part(index, parts[size_t(index)].first, parts[size_t(index)].second).ok());
  }
  const std::vector<std::byte> wrong(12);
  CHECK(other->load_part(index, "merged i64", wrong).code == Code::kCorrupt);
  CHECK(other->load_part(index, "merged i64", parts[size_t(index)].second).ok());
}

TEST_CASE("every policy gives the same on a device with memory of its own", "[runtime][policy][device]") {
  const auto golden = test::read_golden();
  const std::vector<int32_t>& text = golden.ints.at("text");
  for (const Policy& policy : policies()) {
    if (!policy.carries()) continue;
    CAPTURE(policy.name);
    MethodBench here(golden, policy.name, best_isa());
    MethodBench there(golden, policy.name, KvView::Type::kF16,
                      [](MethodBench& b) { return test::fenced_cpu(best_isa(), b.pool); });
    const auto on_host = run_halves(here, text), on_device = run_halves(there, text);
    CHECK((on_host.rows == on_device.rows));
    CHECK((on_host.middle == on_device.middle));
    CHECK((on_host.end == on_device.end));
    check_goes_on(there, text, on_device);
  }
}
