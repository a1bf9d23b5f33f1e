#include "runtime/recompute/next_token.h"

#include <cmath>
#include <vector>

#include "base/try.h"
#include "runtime/model/soundness.h"

namespace reform {

Draw next_draw(const SamplingOptions& options, std::mt19937_64& random) {
  // Not std::uniform_real_distribution, whose numbers differ from library to library.
  const double uniform = double(random() >> 11) * 0x1p-53;
  return {options.top_k, options.top_p, options.min_p, options.temperature, uniform};
}

Result<NextToken> NextToken::create(Device& device, int64_t n_vocab, const SamplingOptions& options) {
  NextToken next(device, options);
  MemoryAccount& account = device.account();
  TRY_ASSIGN(next.logits_, Buffer<float>::create(account, MemoryCategory::kActivations, n_vocab));
  TRY_ASSIGN(next.id_, Buffer<int32_t>::create(account, MemoryCategory::kActivations, 1));
  return next;
}

Status NextToken::issue(Transformer& transformer, Ops& ops, const CancelToken* cancel) {
  TRY(transformer.logits(1, MatView<float>(logits_.data(), 1, logits_.size()), cancel));
  if (is_greedy()) {
    ops.argmax(logits_.span(), id_.data());
  } else {
    ops.draw(logits_.span(), draw_, id_.data());
  }
  return {};
}

// All logits before the first token; later, when a copy from a device would take time at each token, the chosen one.
Status NextToken::check_choice(int32_t id) {
  float chosen = 0;
  TRY(device_->to_host(&chosen, logits_.data() + id, sizeof chosen));
  if (checked_ && std::isfinite(chosen)) return {};
  std::vector<float> logits(size_t(logits_.size()));
  TRY(device_->to_host(logits.data(), logits_.data(), logits_.size() * int64_t(sizeof(float))));
  checked_ = true;
  return check_logits(logits);
}

Result<int32_t> NextToken::take() {
  int32_t id = 0;
  TRY(device_->to_host(&id, id_.data(), sizeof id));
  TRY(check_choice(id));
  draw_ = next_draw(options_, random_);
  return id;
}

}  // namespace reform
