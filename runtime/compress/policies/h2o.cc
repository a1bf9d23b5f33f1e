// Heavy-hitter oracle: sinks, the most recent half of the budget, and the slots with the highest accumulated
// attention in between (H2O, arXiv 2306.14048; as REFORM uses it, arXiv 2506.01215 section 3.1).
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "runtime/compress/policies/policy.h"

namespace reform {
namespace {

class H2o final : public EvictionPolicy {
 public:
  H2o(const PolicySetup& setup, Buffer<float> scores, Buffer<int32_t> keep)
      : setup_(setup), scores_(std::move(scores)), keep_(std::move(keep)) {
    const int64_t recent = std::min(setup.budget / 2, setup.budget - setup.sinks);
    kept_ = {.first = setup.sinks, .heaviest = setup.budget - setup.sinks - recent, .last = recent};
  }

  bool observes() const override { return true; }

  void observe(int64_t layer, const AttentionArgs& args, MatView<const float> lse) override {
    queries_.resize(size_t(args.q.rows));
    std::iota(queries_.begin(), queries_.end(), 0);
    weights_.assign(queries_.size(), 1.0f);
    setup_.site.ops->attention_column_sums(args, lse, queries_, weights_, scores(layer).first(size_t(args.kv.kv_len)));
  }

  void evict(int64_t layer, const KvView& cache) override {
    setup_.site.ops->choose_slots(kept_, cache.kv_len, scores(layer).first(size_t(cache.kv_len)), keep_.span());
    setup_.site.ops->compact_kv(cache, keep_.span());
    setup_.site.ops->compact_scores(scores(layer), keep_.span());
  }

  void reset() override { setup_.site.device.fill_zero(scores_.data(), scores_.size() * int64_t(sizeof(float))); }

  std::vector<StatePart> state(int64_t layer) override {
    return {{.name = fmt::format("scores {} f32", layer),
             .data = reinterpret_cast<std::byte*>(scores(layer).data()),
             .slot_bytes = sizeof(float)}};
  }

 private:
  std::span<float> scores(int64_t layer) {
    return scores_.span().subspan(size_t(layer * setup_.capacity), size_t(setup_.capacity));
  }

  const PolicySetup setup_;
  KeptSlots kept_;
  Buffer<float> scores_;          // [n_layers, capacity] the attention that each slot has received
  Buffer<int32_t> keep_;          // [budget] of the current layer
  std::vector<int32_t> queries_;  // all rows of a call
  std::vector<float> weights_;    // 1 for each of them
};

}  // namespace

Result<std::unique_ptr<EvictionPolicy>> make_h2o(const PolicySetup& setup) {
  TRY_ASSIGN(auto scores,
             Buffer<float>::create(setup.account(), MemoryCategory::kKvCache, setup.n_layers * setup.capacity));
  TRY_ASSIGN(auto keep, Buffer<int32_t>::create(setup.account(), MemoryCategory::kKvCache, setup.budget));
  return std::unique_ptr<EvictionPolicy>(std::make_unique<H2o>(setup, std::move(scores), std::move(keep)));
}

}  // namespace reform
