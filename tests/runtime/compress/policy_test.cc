// The policies of the list, each on a cache of its own.
#include "runtime/compress/policies/policy.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "runtime/model/model.h"

using namespace reform;

namespace {

// One layer's cache whose keys and values are their slot's number, so that they show what an eviction kept.
class NumberedCache {
 public:
  NumberedCache(const Policy& policy, int64_t kv_len, int64_t budget, int64_t sinks)
      : budget_(budget), numbers_(size_t(kKvHeads * kv_len * kHeadDim)) {
    auto made = policy.make({.site = {*device_, ops_.get(), account_},
                             .shape = shape_,
                             .n_layers = 1,
                             .capacity = kv_len,
                             .budget = budget,
                             .sinks = sinks});
    REQUIRE(made.ok());
    policy_ = std::move(made).value();
    for (size_t i = 0; i < numbers_.size(); ++i) numbers_[i] = float(int64_t(i) / kHeadDim % kv_len);
    values_ = numbers_;
    cache_ = {KvView::Type::kF32, numbers_.data(), values_.data(), kKvHeads, kHeadDim, kv_len, kv_len};
  }

  EvictionPolicy& policy() { return *policy_; }
  const KvView& view() const { return cache_; }

  // Shows the policy the attention of n_queries random queries at the last slots. Returns the last one's probabilities,
  // their mean over heads.
  std::vector<double> attend(int64_t n_queries, std::mt19937& rng) {
    if (!policy_->observes()) return {};
    std::vector<float> q(size_t(n_queries * kHeads * kHeadDim)), out(q.size()), lse(size_t(kHeads * n_queries));
    for (float& x : q) x = float(int(rng() % 200) - 100) * 0.01f;
    const MatView<float> queries{q.data(), n_queries, kHeads * kHeadDim}, lse_view{lse.data(), kHeads, n_queries};
    const AttentionArgs args{.q = queries, .kv = cache_, .scale = 0.1f, .slot_bias = policy_->slot_bias(0)};
    ops_->attention(args, {out.data(), n_queries, kHeads * kHeadDim}, lse_view);
    policy_->observe(0, args, lse_view);
    return probabilities(queries.row(n_queries - 1));
  }

  // The slots that are left of each KV head.
  std::vector<std::vector<int32_t>> evict() {
    policy_->evict(0, cache_);
    std::vector<std::vector<int32_t>> kept(kKvHeads);
    for (int64_t g = 0; g < kKvHeads; ++g) {
      for (int64_t slot = 0; slot < budget_; ++slot) {
        kept[size_t(g)].push_back(int32_t(number(g, slot)));
        const size_t first = size_t((g * cache_.capacity + slot) * kHeadDim), last = first + kHeadDim - 1;
        CHECK((numbers_[last] == numbers_[first] && values_[first] == numbers_[first]));  // they move together
      }
    }
    return kept;
  }
  // The same, of a policy that decides for all heads at once.
  std::vector<int32_t> evict_alike() {
    const auto kept = evict();
    CHECK(std::ranges::equal(kept[0], kept[1]));
    return kept[0];
  }
  float number(int64_t g, int64_t slot) const { return numbers_[size_t((g * cache_.capacity + slot) * kHeadDim)]; }

  // The state that a checkpoint has under this name.
  template <class T>
  T* state(const std::string& name) {
    for (const StatePart& part : policy_->state(0))
      if (part.name == name) return reinterpret_cast<T*>(part.data);
    FAIL("no state '" << name << "'");
    return nullptr;
  }

  static constexpr int64_t kHeads = 4, kKvHeads = 2, kHeadDim = 3;

 private:
  // A key is its slot's number in each dimension.
  std::vector<double> probabilities(const float* q) const {
    std::vector<double> mean(size_t(cache_.kv_len));
    for (int64_t h = 0; h < kHeads; ++h, q += kHeadDim) {
      const double per_slot = 0.1 * (double(q[0]) + double(q[1]) + double(q[2]));
      double sum = 0;
      for (int64_t s = 0; s < cache_.kv_len; ++s) sum += std::exp(per_slot * double(s - cache_.kv_len));
      for (int64_t s = 0; s < cache_.kv_len; ++s)
        mean[size_t(s)] += std::exp(per_slot * double(s - cache_.kv_len)) / sum / double(kHeads);
    }
    return mean;
  }

  const int64_t budget_;
  MemoryAccount account_;
  ThreadPool pool_{1};
  std::unique_ptr<Device> device_ = make_cpu_device(Isa::kRef, pool_, account_);
  std::unique_ptr<Ops> ops_ = make_reference_ops();
  const ModelShape shape_ = [] {
    ModelShape shape;
    shape.n_kv_heads = kKvHeads;
    return shape;
  }();
  std::vector<float> numbers_, values_;
  KvView cache_;
  std::unique_ptr<EvictionPolicy> policy_;
};

// H2O's rule in plain form: the sinks and the newest half of the budget stay. The rest of the budget goes to the
// heaviest slots between them; of equal slots, to the earlier.
std::vector<int32_t> plain_h2o(const std::vector<float>& scores, int64_t budget, int64_t sinks) {
  const int64_t n = int64_t(scores.size()), recent = std::min(budget / 2, budget - sinks);
  std::vector<int32_t> order, kept;
  for (int64_t s = 0; s < n; ++s) (s < sinks || s >= n - recent ? kept : order).push_back(int32_t(s));
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return scores[size_t(a)] > scores[size_t(b)]; });
  kept.insert(kept.end(), order.begin(), order.begin() + ptrdiff_t(budget - int64_t(kept.size())));
  std::ranges::sort(kept);
  return kept;
}

// TOVA's rule in plain form.
std::vector<int32_t> plain_tova(const std::vector<double>& scores, int64_t budget) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return scores[size_t(a)] > scores[size_t(b)]; });
  order.resize(size_t(budget));
  std::ranges::sort(order);
  return order;
}

// ZSMerge's rule for one KV head, token by token: the slots that join each merged slot, and those that stay.
struct PlainMerge {
  std::vector<std::vector<int32_t>> groups;
  std::vector<int32_t> singles;
};

// The merged slots are the first. Of a NumberedCache, the last of them has the largest keys, and so is the one that all
// dropped slots are most like.
PlainMerge plain_merge(const std::vector<float>& scores, int64_t budget, int64_t n_merged) {
  PlainMerge plain;
  for (int32_t s = 0; s < n_merged; ++s) plain.groups.push_back({s});
  const auto recent = budget / 2;
  std::vector<int32_t> context, tail;
  for (auto s = int32_t(n_merged); s < budget; ++s) (s < budget - recent ? context : tail).push_back(s);
  for (auto s = int32_t(budget); s < int32_t(scores.size()); ++s) {
    tail.push_back(s);
    if (context.empty()) {
      plain.groups.back().push_back(tail.front());
    } else {
      // Of equal scores the newest goes.
      const auto least = std::ranges::min_element(context, [&](int32_t a, int32_t b) {
        return std::pair(scores[size_t(a)], -a) < std::pair(scores[size_t(b)], -b);
      });
      plain.groups.back().push_back(*least);
      *least = tail.front();
    }
    tail.erase(tail.begin());
  }
  std::ranges::sort(context);
  plain.singles = context;
  plain.singles.insert(plain.singles.end(), tail.begin(), tail.end());
  return plain;
}

// The same without merged slots, as after the paper's prefill.
PlainMerge plain_first_merge(const std::vector<float>& scores, int64_t budget, int64_t n_merged) {
  const int64_t recent = budget / 2, n_old = int64_t(scores.size()) - recent;
  std::vector<double> old(scores.begin(), scores.begin() + n_old);
  PlainMerge plain{.groups = {}, .singles = plain_tova(old, budget - recent - n_merged)};
  std::vector<int32_t> rest;
  for (int32_t s = 0; s < n_old; ++s)
    if (!std::ranges::binary_search(plain.singles, s)) rest.push_back(s);
  for (int64_t i = 0, at = 0; i < n_merged; ++i) {
    const int64_t n = int64_t(rest.size()) / n_merged + (i < int64_t(rest.size()) % n_merged ? 1 : 0);
    plain.groups.emplace_back(rest.begin() + at, rest.begin() + at + n);
    at += n;
  }
  for (int64_t s = n_old; s < int64_t(scores.size()); ++s) plain.singles.push_back(int32_t(s));
  return plain;
}

}  // namespace

TEST_CASE("each policy has a name of its own and a summary", "[runtime][policy]") {
  for (const Policy& policy : policies()) {
    CAPTURE(policy.name);
    CHECK(find_policy(policy.name) == &policy);
    CHECK(std::strlen(policy.summary) > 0);
  }
  CHECK(find_policy("lru") == nullptr);
}

TEST_CASE("every policy that carries a cache keeps exactly its budget, ascending, and sinks if it has any",
          "[runtime][policy]") {
  std::mt19937 rng(3);
  for (const Policy& policy : policies()) {
    if (!policy.carries() || policy.name == std::string("zsmerge")) continue;  // whose slots are new ones
    for (int round = 0; round < 100; ++round) {
      const int64_t budget = 2 + int64_t(rng() % 50), kv_len = budget + 1 + int64_t(rng() % 90),
                    sinks = int64_t(rng() % uint32_t(budget / 2 + 1));
      CAPTURE(policy.name, budget, kv_len, sinks);
      NumberedCache cache(policy, kv_len, budget, sinks);
      cache.attend(1 + int64_t(rng() % uint32_t(kv_len)), rng);
      for (const std::vector<int32_t>& slots : cache.evict()) {
        CHECK(std::adjacent_find(slots.begin(), slots.end(), std::greater_equal<>()) == slots.end());
        CHECK((slots.front() >= 0 && slots.back() < kv_len));
        if (!policy.keeps_sinks) continue;
        for (int64_t s = 0; s < sinks; ++s) CHECK(slots[size_t(s)] == s);
        CHECK(slots.back() == kv_len - 1);
      }
    }
  }
}

TEST_CASE("h2o keeps what its rule says, and the slots' scores move with them", "[runtime][policy]") {
  std::mt19937 rng(5);
  for (int round = 0; round < 100; ++round) {
    const int64_t budget = 2 + int64_t(rng() % 50), kv_len = budget + 1 + int64_t(rng() % 90),
                  sinks = int64_t(rng() % uint32_t(budget / 2 + 1));
    CAPTURE(budget, kv_len, sinks);
    NumberedCache cache(*find_policy("h2o"), kv_len, budget, sinks);
    const std::vector<StatePart> parts = cache.policy().state(0);
    REQUIRE((parts.size() == 1 && parts[0].name == "scores 0 f32" && parts[0].bytes(kv_len) == 4 * kv_len));
    auto* const scores = reinterpret_cast<float*>(parts[0].data);
    for (int64_t s = 0; s < kv_len; ++s) scores[s] = float(rng() % 10);
    const std::vector<float> before(scores, scores + kv_len);
    const std::vector<int32_t> kept = cache.evict_alike();
    CHECK(kept == plain_h2o(before, budget, sinks));
    for (int64_t s = 0; s < kv_len; ++s) CHECK(scores[s] == (s < budget ? before[size_t(kept[size_t(s)])] : 0));
    cache.policy().reset();
    CHECK(std::all_of(scores, scores + kv_len, [](float score) { return score == 0; }));
  }
}

TEST_CASE("h2o keeps the slots that received most attention", "[runtime][policy]") {
  NumberedCache cache(*find_policy("h2o"), 20, 8, 2);
  auto* const scores = reinterpret_cast<float*>(cache.policy().state(0)[0].data);
  scores[7] = 5, scores[11] = 4, scores[3] = 1;
  CHECK(cache.evict_alike() == std::vector<int32_t>{0, 1, 7, 11, 16, 17, 18, 19});  // 4 recent, 2 heavy
}

TEST_CASE("tova keeps the slots that the last query attends to most", "[runtime][policy]") {
  std::mt19937 rng(6);
  for (int round = 0; round < 100; ++round) {
    const int64_t budget = 2 + int64_t(rng() % 50), kv_len = budget + 1 + int64_t(rng() % 90);
    CAPTURE(budget, kv_len);
    NumberedCache cache(*find_policy("tova"), kv_len, budget, /*sinks=*/1);
    cache.attend(1 + int64_t(rng() % uint32_t(kv_len)), rng);  // an earlier chunk leaves nothing behind
    const std::vector<double> last = cache.attend(1 + int64_t(rng() % uint32_t(kv_len)), rng);
    std::vector<double> sorted = last;
    std::ranges::sort(sorted, std::greater());
    if (sorted[size_t(budget - 1)] - sorted[size_t(budget)] < 1e-7) continue;  // FP32 may not tell them apart
    CHECK(cache.evict_alike() == plain_tova(last, budget));
  }
}

TEST_CASE("zsmerge keeps what its rule keeps token by token, and merges the rest", "[runtime][policy]") {
  std::mt19937 rng(7);
  for (const int64_t budget : {2, 3, 17, 64, 150, 301}) {
    const int64_t n_merged = std::max<int64_t>(1, std::lround(0.02 * double(budget - budget / 2)));
    for (const bool has_merged : {false, true}) {
      const int64_t kv_len = budget + 1 + int64_t(rng() % 300), n_old = has_merged ? n_merged : 0;
      CAPTURE(budget, kv_len, has_merged);
      NumberedCache cache(*find_policy("zsmerge"), kv_len, budget, /*sinks=*/1);
      auto* const weights = cache.state<float>("weights 0 f32");
      auto* const biases = cache.state<float>("biases 0 f32");
      *cache.state<int64_t>("has merged i64") = has_merged;
      for (int64_t i = 0; i < n_merged * NumberedCache::kKvHeads; ++i) weights[i] = float(2 + rng() % 90);
      CHECK(cache.policy().slot_bias(0).cols == n_old);
      std::vector<float> before(weights, weights + n_merged * NumberedCache::kKvHeads);
      std::vector<PlainMerge> plain;
      for (int64_t g = 0; g < NumberedCache::kKvHeads; ++g) {
        auto* const scores = cache.state<float>("scores 0." + std::to_string(g) + " f32");  // behind the merged slots
        std::vector<float> all(size_t(n_old), 0.0f);
        for (int64_t s = n_old; s < kv_len; ++s) all.push_back(scores[s - n_old] = float(rng() % 40));
        plain.push_back(has_merged ? plain_merge(all, budget, n_merged) : plain_first_merge(all, budget, n_merged));
      }
      cache.policy().evict(0, cache.view());
      CHECK(cache.policy().slot_bias(0).cols == n_merged);
      for (int64_t g = 0; g < NumberedCache::kKvHeads; ++g) {
        const PlainMerge& want = plain[size_t(g)];
        for (int64_t i = 0; i < n_merged; ++i) {
          double sum = 0, n_tokens = 0;
          for (const int32_t s : want.groups[size_t(i)]) {
            const double n = has_merged && s < n_merged ? double(before[size_t(g * n_merged + s)]) : 1;
            sum += n * s, n_tokens += n;
          }
          CHECK(double(cache.number(g, i)) == Approx(sum / n_tokens).margin(1e-6));
          CHECK(double(weights[g * n_merged + i]) == n_tokens);
          CHECK(double(biases[g * n_merged + i]) == Approx(std::log(n_tokens)).margin(1e-6));
        }
        std::vector<int32_t> singles;
        for (int64_t s = n_merged; s < budget; ++s) singles.push_back(int32_t(cache.number(g, s)));
        CHECK(singles == want.singles);
      }
    }
  }
}

TEST_CASE("cascade inserts a chunk's tokens in its rings, for each KV head by its own scores", "[runtime][policy]") {
  // A sink and four rings of two slots: 0 | 1 2 | 3 4 | 5 6 | 7 8; tokens 9 to 12 are new.
  NumberedCache cache(*find_policy("cascade"), 13, 9, 1);
  *cache.state<int64_t>("seen tokens i64") = 29;  // so the new ones are 24 to 27 behind the sink
  for (int g = 0; g < 2; ++g) {
    auto* const scores = cache.state<float>("scores 0." + std::to_string(g) + " f32");
    for (int s = 0; s < 13; ++s) scores[s] = float(g == 0 ? s : -s);
  }
  const auto kept = cache.evict();
  // 24: each ring passes its oldest on, and 1 is lost. 25: 8 competes with 7 (in the ring 6 7). 26: 9 enters the second
  // ring, whose 6 competes with 5 (in the ring 4 5). 27: 10 competes with 9.
  CHECK(kept[0] == std::vector<int32_t>{0, 2, 3, 4, 6, 8, 10, 11, 12});
  CHECK(kept[1] == std::vector<int32_t>{0, 2, 3, 4, 5, 7, 9, 11, 12});
}

TEST_CASE("cascade and zsmerge let attention fade by the number of queries", "[runtime][policy]") {
  std::mt19937 rng(8);
  for (const auto& [name, decay] : {std::pair("cascade", 0.9999), {"zsmerge", 0.98}}) {
    NumberedCache cache(*find_policy(name), 40, 30, 1);
    double want = 0;  // the sum over slots: each query adds 1
    for (const int64_t n_queries : {7, 1, 40, 23}) {
      cache.attend(n_queries, rng);
      for (int64_t q = 0; q < n_queries; ++q) want = want * decay + 1;
      for (int g = 0; g < 2; ++g) {
        const auto* const scores = cache.state<float>("scores 0." + std::to_string(g) + " f32");
        CHECK(std::accumulate(scores, scores + 40, 0.0) == Approx(want).epsilon(1e-5));
      }
    }
    cache.policy().reset();
    const auto* const scores = cache.state<float>("scores 0.1 f32");
    CHECK(std::all_of(scores, scores + 40, [](float score) { return score == 0; }));
  }
}
