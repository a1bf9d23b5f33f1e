// Attention sinks and a window of recent tokens: StreamingLLM, arXiv 2309.17453.
#include "runtime/compress/policies/policy.h"

namespace reform {
namespace {

class Recent final : public EvictionPolicy {
 public:
  Recent(const PolicySetup& setup, Buffer<int32_t> keep) : setup_(setup), keep_(std::move(keep)) {}

  void evict(int64_t /*layer*/, const KvView& cache) override {
    const KeptSlots kept{.first = setup_.sinks, .last = setup_.budget - setup_.sinks};
    setup_.site.ops->choose_slots(kept, cache.kv_len, {}, keep_.span());
    setup_.site.ops->compact_kv(cache, keep_.span());
  }

 private:
  const PolicySetup setup_;
  Buffer<int32_t> keep_;  // [budget]
};

}  // namespace

Result<std::unique_ptr<EvictionPolicy>> make_recent(const PolicySetup& setup) {
  TRY_ASSIGN(auto keep, Buffer<int32_t>::create(setup.account(), MemoryCategory::kKvCache, setup.budget));
  return std::unique_ptr<EvictionPolicy>(std::make_unique<Recent>(setup, std::move(keep)));
}

}  // namespace reform
