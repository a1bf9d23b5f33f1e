#include "runtime/next_token.h"

#include "base/try.h"

namespace reform {

Result<NextToken> NextToken::create(Device& device, MemoryAccount& host, int64_t n_vocab,
                                    const SamplingOptions& options) {
  NextToken next(device, options);
  next.on_device_ = !device.is_host() && next.sampler_.is_greedy();
  MemoryAccount& account = device.account();
  TRY_ASSIGN(next.logits_, Buffer<float>::create(account, MemoryCategory::kActivations, n_vocab));
  if (next.on_device_) {
    TRY_ASSIGN(next.id_, Buffer<int32_t>::create(account, MemoryCategory::kActivations, 1));
  } else if (!device.is_host()) {
    TRY_ASSIGN(next.host_logits_, Buffer<std::byte>::create(host, MemoryCategory::kActivations, n_vocab * 4));
  }
  return next;
}

Status NextToken::issue(Transformer& transformer, Ops& ops, const CancelToken* cancel) {
  TRY(transformer.logits(1, MatView<float>(logits_.data(), 1, logits_.size()), cancel));
  if (on_device_) ops.argmax(logits_.span(), id_.data());
  return {};
}

Result<int32_t> NextToken::take() {
  if (on_device_) {
    int32_t id = 0;
    TRY(device_->to_host(&id, id_.data(), sizeof id));
    return id;
  }
  TRY_ASSIGN(const auto seen, seen_by_host(*device_, logits_.data(), logits_.size() * 4, host_logits_));
  return sampler_.sample({reinterpret_cast<const float*>(seen.data()), size_t(logits_.size())});
}

}  // namespace reform
