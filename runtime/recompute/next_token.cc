#include "runtime/recompute/next_token.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "base/try.h"
#include "runtime/model/soundness.h"

namespace reform {
namespace {

constexpr int kMostTries = 16;
constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

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
  all_logits_.clear();
  choose(ops);
  return {};
}

void NextToken::choose(Ops& ops) {
  if (is_greedy()) {
    ops.argmax(logits_.span(), id_.data());
  } else {
    ops.draw(logits_.span(), draw_, id_.data());
  }
}

// All logits before the first token; later, when a copy from a device would take time at each token, the chosen one.
Status NextToken::check_choice(int32_t id) {
  float chosen = 0;
  TRY(device_->to_host(&chosen, logits_.data() + id, sizeof chosen));
  if (checked_ && std::isfinite(chosen)) return {};
  TRY_ASSIGN(const std::vector<float> logits, logits_on_host());
  checked_ = true;
  return check_logits(logits);
}

Status NextToken::leave_out(const std::function<bool(int32_t id)>& is_allowed) {
  std::vector<float> logits = all_logits_;
  bool any = false;
  for (size_t id = 0; id < logits.size(); ++id) {
    const bool stays = is_allowed(int32_t(id));
    any = any || stays;
    if (!stays) logits[id] = kNever;
  }
  if (!any) return {Code::kUsage, "no token of the model's vocabulary goes on with what the JSON schema wants"};
  return device_->to_device(logits_.data(), logits.data(), logits_.size() * int64_t(sizeof(float)));
}

// A token that is not allowed is left out and the choice made anew: then the others keep their shares. Mostly the first
// one is allowed; after a few that are not, all such are left out at once.
Result<int32_t> NextToken::take_allowed(const Matcher& matcher, const Tokenizer& tokenizer, Ops& ops) {
  const auto is_allowed = [&](int32_t id) {
    return tokenizer.is_end(id) ? matcher.may_end() : matcher.allows(tokenizer.token_bytes(id, /*special=*/false));
  };
  for (int n_tries = 0;; ++n_tries) {
    int32_t id = 0;
    TRY(device_->to_host(&id, id_.data(), sizeof id));
    TRY(check_choice(id));
    draw_ = next_draw(options_, random_);
    if (is_allowed(id)) return id;
    if (n_tries == 0) {
      TRY_ASSIGN(all_logits_, logits_on_host());
    }
    if (n_tries == kMostTries) TRY(leave_out(is_allowed));
    if (n_tries < kMostTries) TRY(device_->to_device(logits_.data() + id, &kNever, sizeof kNever));
    choose(ops);
  }
}

Result<std::vector<float>> NextToken::logits_on_host() const {
  std::vector<float> logits(size_t(logits_.size()));
  TRY(device_->to_host(logits.data(), logits_.data(), logits_.size() * int64_t(sizeof(float))));
  return logits;
}

Result<AnswerToken> NextToken::logprobs(int32_t id, int64_t n_top, const Tokenizer& tokenizer) const {
  std::vector<float> logits = all_logits_;
  if (logits.empty()) {
    TRY_ASSIGN(logits, logits_on_host());
  }
  const float most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double(logit - most));
  const double log_sum = double(most) + std::log(sum);
  const auto of = [&](int32_t token) {
    return TokenLogprob{tokenizer.token_bytes(token, /*special=*/true), double(logits[size_t(token)]) - log_sum};
  };
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + std::min(n_top, int64_t(ids.size()));
  std::partial_sort(ids.begin(), end, ids.end(), [&](int32_t a, int32_t b) {
    return std::pair(-logits[size_t(a)], a) < std::pair(-logits[size_t(b)], b);
  });
  AnswerToken token{of(id), 0, {}};
  for (auto i = ids.begin(); i != end; ++i) token.top.push_back(of(*i));
  return token;
}

Status NextToken::wait() {
  int32_t id = 0;
  TRY(device_->to_host(&id, id_.data(), sizeof id));
  return check_choice(id);
}

Result<int32_t> NextToken::take() {
  int32_t id = 0;
  TRY(device_->to_host(&id, id_.data(), sizeof id));
  TRY(check_choice(id));
  draw_ = next_draw(options_, random_);
  return id;
}

}  // namespace reform
