#include "runtime/recompute/first_token.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/try.h"
#include "runtime/model/soundness.h"

namespace reform {

// With w_i = exp(l_i - max): H = ln(sum w) - sum(w_i (l_i - max)) / sum w.
FirstTokenGuess guess_of(std::span<const float> logits) {
  const auto best = std::max_element(logits.begin(), logits.end());
  double sum = 0, weighted = 0;
  for (const float logit : logits) {
    const double below = double(logit) - double(*best), weight = std::exp(below);
    sum += weight;
    if (weight > 0) weighted += weight * below;
  }
  const double entropy = std::log(sum) - weighted / sum;
  return {int32_t(best - logits.begin()), std::isnan(entropy) ? std::numeric_limits<double>::infinity() : entropy};
}

bool SurestGuess::add(const FirstTokenGuess& guess) {
  if (std::ranges::find(left_out_, guess.likeliest) != left_out_.end()) return false;
  if (least_nats_ && *least_nats_ <= guess.entropy_nats) return false;
  least_nats_ = guess.entropy_nats;
  return true;
}

OpLimits FirstToken::limits(const ModelShape& shape, const Device& device, int64_t n_prompt_tokens) {
  return WholeModel::limits(shape, device, {.prompt_tokens = n_prompt_tokens, .capacity = n_prompt_tokens});
}

Result<std::unique_ptr<FirstToken>> FirstToken::create(const Model& model, const Site& site, KvView::Type kv_type,
                                                       int64_t n_prompt_tokens) {
  const int64_t n_vocab = model.shape().n_vocab;
  std::unique_ptr<FirstToken> f(new FirstToken(site.device));
  TRY_ASSIGN(f->whole_,
             WholeModel::create(model, site, kv_type, {.prompt_tokens = n_prompt_tokens, .capacity = n_prompt_tokens}));
  TRY_ASSIGN(f->logits_, Buffer<float>::create(site.device.account(), MemoryCategory::kActivations, n_vocab));
  TRY_ASSIGN(f->host_logits_, Buffer<float>::create(site.host, MemoryCategory::kActivations, n_vocab));
  return f;
}

Result<FirstTokenGuess> FirstToken::run(std::span<const int32_t> prompt, const CancelToken* cancel) {
  whole_.cache().set_kv_len(0);
  TRY(whole_.run(prompt, cancel));
  TRY(whole_.transformer().logits(1, MatView<float>(logits_.data(), 1, logits_.size()), cancel));
  TRY(device_.to_host(host_logits_.data(), logits_.data(), logits_.size() * int64_t(sizeof(float))));
  TRY(check_logits(host_logits_.span()));
  return guess_of(host_logits_.span());
}

}  // namespace reform
