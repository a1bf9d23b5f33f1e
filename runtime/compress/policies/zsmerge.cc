// Zero-shot merging: the newest slots, those that received most attention, and merged slots, which stand for all the
// others (ZSMerge, arXiv 2503.10714). The cache is [merged | context | recent], for each KV head alone.
//
// The paper decides once per decoded token: the oldest recent slot becomes context, and the context slot with the least
// attention joins the merged slot most like it. Here it decides for a whole chunk, by the scores at the chunk's end.
// The slots that are left are the same as if their tokens had come one by one: all but the newest of those that became
// context compete, and the heaviest stay. Keys are merged before rotation.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/compress/policies/fading_scores.h"
#include "runtime/compress/policies/kv_head.h"
#include "runtime/model/model.h"

namespace reform {
namespace {

// As in the paper's runs.
constexpr double kRecentShare = 0.5;   // of the budget
constexpr double kMergedShare = 0.02;  // of the rest
constexpr double kDecay = 0.98;

// How the budget is divided.
struct Parts {
  int64_t merged = 0, context = 0, recent = 0;

  explicit Parts(int64_t budget) : recent(int64_t(kRecentShare * double(budget))) {
    merged = std::max<int64_t>(1, std::lround(kMergedShare * double(budget - recent)));
    context = budget - recent - merged;
  }
  int64_t singles() const { return context + recent; }
};

class ZsMerge final : public EvictionPolicy {
 public:
  ZsMerge(const PolicySetup& setup, FadingScores scores, Buffer<float> weights, Buffer<float> biases,
          Buffer<int32_t> keep)
      : setup_(setup),
        parts_(setup.budget),
        scores_(std::move(scores)),
        weights_(std::move(weights)),
        biases_(std::move(biases)),
        keep_(std::move(keep)) {}

  static int64_t n_merged(const PolicySetup& setup) { return Parts(setup.budget).merged; }

  bool observes() const override { return true; }

  void observe(int64_t layer, const AttentionArgs& args, MatView<const float> lse) override {
    scores_.observe(layer, args, lse, n_old());
  }

  MatView<const float> slot_bias(int64_t layer) override {
    if (n_old() == 0) return {};
    return {of_layer(biases_, layer).data(), setup_.shape.n_kv_heads, parts_.merged};
  }

  void evict(int64_t layer, const KvView& cache) override {
    Ops& ops = *setup_.site.ops;
    const int64_t n_scored = cache.kv_len - n_old();
    for (int64_t g = 0; g < cache.n_kv_heads; ++g) {
      const auto scores = scores_.of(layer, g);
      ops.choose_slots(kept(), n_scored, scores.first(size_t(n_scored)), keep_.span());
      ops.compact_scores(scores, keep_.span());
      ops.merge_kv(kv_head(cache, g), n_old() > 0, keep_.span(), of_head(weights_, layer, g),
                   of_head(biases_, layer, g));
    }
    if (layer == setup_.n_layers - 1) has_merged_ = 1;
  }

  void reset() override {
    scores_.reset();
    for (Buffer<float>* b : {&weights_, &biases_})
      setup_.site.device.fill_zero(b->data(), b->size() * int64_t(sizeof(float)));
    has_merged_ = 0;
  }

  std::vector<StatePart> state(int64_t layer) override {
    std::vector<StatePart> all = scores_.state(layer);
    const auto add = [&](const char* name, Buffer<float>& values) {
      all.push_back({.name = fmt::format("{} {} f32", name, layer),
                     .data = reinterpret_cast<std::byte*>(of_layer(values, layer).data()),
                     .fixed_bytes = int64_t(of_layer(values, layer).size_bytes())});
    };
    add("weights", weights_);
    add("biases", biases_);
    if (layer == 0) {
      all.push_back({.name = "has merged i64",
                     .data = reinterpret_cast<std::byte*>(&has_merged_),
                     .fixed_bytes = sizeof(has_merged_),
                     .on_host = true});
    }
    return all;
  }

 private:
  int64_t n_old() const { return has_merged_ != 0 ? parts_.merged : 0; }  // merged slots in the cache

  // Without merged slots, as after the paper's prefill. Later the newest slot that became context stays: it came when
  // the last one was dropped.
  KeptSlots kept() const {
    const int64_t newest = std::min(parts_.context, n_old() > 0 ? int64_t{1} : 0);
    return {.heaviest = parts_.context - newest, .last = parts_.recent + newest};
  }

  std::span<float> of_layer(Buffer<float>& values, int64_t layer) const {
    const size_t n = size_t(setup_.shape.n_kv_heads * parts_.merged);
    return values.span().subspan(size_t(layer) * n, n);
  }
  std::span<float> of_head(Buffer<float>& values, int64_t layer, int64_t g) const {
    return of_layer(values, layer).subspan(size_t(g * parts_.merged), size_t(parts_.merged));
  }

  const PolicySetup setup_;
  const Parts parts_;
  FadingScores scores_;     // of the slots behind the merged ones
  Buffer<float> weights_;   // [n_layers, n_kv_heads, merged] the tokens that each merged slot stands for
  Buffer<float> biases_;    // likewise; their logarithms
  int64_t has_merged_ = 0;  // 1 from the first eviction on
  Buffer<int32_t> keep_;    // [context + recent] of the current head
};

}  // namespace

Result<std::unique_ptr<EvictionPolicy>> make_zsmerge(const PolicySetup& setup) {
  const int64_t n_merged = ZsMerge::n_merged(setup), n_all = setup.n_layers * setup.shape.n_kv_heads * n_merged;
  TRY_ASSIGN(auto scores, FadingScores::create(setup, kDecay, n_merged));
  TRY_ASSIGN(auto weights, Buffer<float>::create(setup.account(), MemoryCategory::kKvCache, n_all));
  TRY_ASSIGN(auto biases, Buffer<float>::create(setup.account(), MemoryCategory::kKvCache, n_all));
  TRY_ASSIGN(auto keep,
             Buffer<int32_t>::create(setup.account(), MemoryCategory::kKvCache, Parts(setup.budget).singles()));
  return std::unique_ptr<EvictionPolicy>(
      std::make_unique<ZsMerge>(setup, std::move(scores), std::move(weights), std::move(biases), std::move(keep)));
}

}  // namespace reform
