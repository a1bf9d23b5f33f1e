// Sinks, and rings that hold ever sparser tokens of an ever older past (Cascading KV Cache, arXiv 2406.17808). The
// newest ring takes every token and gives its oldest to the next ring, which takes every second one, the one after it
// every fourth. Of two tokens that compete for a place the more attended stays. For each KV head alone.
//
// Tokens are inserted one by one when their chunk is done, by the scores at its end. Once the rings are full, they stay
// full, and no token overtakes another. So the order of the slots is all there is to know about the rings.
#include <algorithm>

#include "runtime/compress/policies/fading_scores.h"
#include "runtime/compress/policies/kv_head.h"

namespace reform {
namespace {

constexpr int64_t kRings = 4;            // as in most of the paper's runs: they span 15 times the slots of one ring
constexpr double kMovingDecay = 0.9999;  // of the moving average; the factor that it has beside changes no comparison
constexpr int64_t kMostSeen = int64_t(1) << 60;

class CascadePolicy final : public EvictionPolicy {
 public:
  CascadePolicy(const PolicySetup& setup, FadingScores scores, Buffer<int32_t> keep)
      : setup_(setup), scores_(std::move(scores)), keep_(std::move(keep)) {}

  bool observes() const override { return true; }

  void observe(int64_t layer, const AttentionArgs& args, MatView<const float> lse) override {
    if (layer == 0) n_seen_ = std::clamp<int64_t>(n_seen_, 0, kMostSeen) + args.q.rows;  // it may come from a file
    scores_.observe(layer, args, lse);
  }

  void evict(int64_t layer, const KvView& cache) override {
    Ops& ops = *setup_.site.ops;
    const Cascade cascade{
        .sinks = setup_.sinks, .n_rings = std::min(kRings, setup_.budget - setup_.sinks), .n_seen = n_seen_};
    for (int64_t g = 0; g < cache.n_kv_heads; ++g) {
      const auto scores = scores_.of(layer, g);
      ops.choose_cascade(cascade, cache.kv_len, scores.first(size_t(cache.kv_len)), keep_.span());
      ops.compact_kv(kv_head(cache, g), keep_.span());
      ops.compact_scores(scores, keep_.span());
    }
  }

  void reset() override {
    scores_.reset();
    n_seen_ = 0;
  }

  std::vector<StatePart> state(int64_t layer) override {
    std::vector<StatePart> all = scores_.state(layer);
    if (layer == 0) {
      all.push_back({.name = "seen tokens i64",
                     .data = reinterpret_cast<std::byte*>(&n_seen_),
                     .fixed_bytes = sizeof(n_seen_),
                     .on_host = true});
    }
    return all;
  }

 private:
  const PolicySetup setup_;
  FadingScores scores_;
  int64_t n_seen_ = 0;    // tokens of all chunks, BOS included
  Buffer<int32_t> keep_;  // [budget] of the current head
};

}  // namespace

Result<std::unique_ptr<EvictionPolicy>> make_cascade(const PolicySetup& setup) {
  TRY_ASSIGN(auto scores, FadingScores::create(setup, kMovingDecay));
  TRY_ASSIGN(auto keep, Buffer<int32_t>::create(setup.account(), MemoryCategory::kKvCache, setup.budget));
  return std::unique_ptr<EvictionPolicy>(std::make_unique<CascadePolicy>(setup, std::move(scores), std::move(keep)));
}

}  // namespace reform
