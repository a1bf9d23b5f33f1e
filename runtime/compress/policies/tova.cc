// Token omission via attention: the slots that the newest query attends to most, whatever their age (TOVA, arXiv
// 2401.06104). The paper drops one slot for each new token. Here a chunk's last query decides for all.
#include "runtime/compress/policies/policy.h"

namespace reform {
namespace {

// Each chunk's scores stand alone, so a checkpoint has none.
class Tova final : public EvictionPolicy {
 public:
  Tova(const PolicySetup& setup, Buffer<float> scores, Buffer<int32_t> keep)
      : setup_(setup), scores_(std::move(scores)), keep_(std::move(keep)) {}

  bool observes() const override { return true; }

  void observe(int64_t layer, const AttentionArgs& args, MatView<const float> lse) override {
    last_row_[0] = int32_t(args.q.rows - 1);
    setup_.site.device.fill_zero(scores(layer).data(), args.kv.kv_len * int64_t(sizeof(float)));
    setup_.site.ops->attention_column_sums(args, lse, last_row_, kWeight, scores(layer).first(size_t(args.kv.kv_len)));
  }

  void evict(int64_t layer, const KvView& cache) override {
    const KeptSlots kept{.heaviest = setup_.budget};
    setup_.site.ops->choose_slots(kept, cache.kv_len, scores(layer).first(size_t(cache.kv_len)), keep_.span());
    setup_.site.ops->compact_kv(cache, keep_.span());
  }

 private:
  static constexpr float kWeight[] = {1};

  std::span<float> scores(int64_t layer) {
    return scores_.span().subspan(size_t(layer * setup_.capacity), size_t(setup_.capacity));
  }

  const PolicySetup setup_;
  Buffer<float> scores_;   // [n_layers, capacity] the last query's probabilities, their mean over heads
  Buffer<int32_t> keep_;   // [budget] of the current layer
  int32_t last_row_[1]{};  // of the current call
};

}  // namespace

Result<std::unique_ptr<EvictionPolicy>> make_tova(const PolicySetup& setup) {
  TRY_ASSIGN(auto scores,
             Buffer<float>::create(setup.account(), MemoryCategory::kKvCache, setup.n_layers * setup.capacity));
  TRY_ASSIGN(auto keep, Buffer<int32_t>::create(setup.account(), MemoryCategory::kKvCache, setup.budget));
  return std::unique_ptr<EvictionPolicy>(std::make_unique<Tova>(setup, std::move(scores), std::move(keep)));
}

}  // namespace reform
