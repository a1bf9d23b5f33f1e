#include "runtime/compress/policies/fading_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/compress/policies/kv_head.h"
#include "runtime/model/model.h"

namespace reform {
namespace {

constexpr double kLeastWeight = 1e-8;  // FP32 sums do not see less beside the last query's 1

}  // namespace

Result<FadingScores> FadingScores::create(const PolicySetup& setup, double decay, int64_t lead) {
  const int64_t n_scores = setup.n_layers * setup.shape.n_kv_heads * (lead + setup.capacity);
  TRY_ASSIGN(auto scores, Buffer<float>::create(setup.account(), MemoryCategory::kKvCache, n_scores));
  return FadingScores(setup, decay, lead, std::move(scores));
}

FadingScores::FadingScores(const PolicySetup& setup, double decay, int64_t lead, Buffer<float> scores)
    : setup_(setup), decay_(decay), lead_(lead), scores_(std::move(scores)) {}

void FadingScores::observe(int64_t layer, const AttentionArgs& args, MatView<const float> lse, int64_t n_lead) {
  weigh_rows(args.q.rows);
  for (int64_t g = 0; g < args.kv.n_kv_heads; ++g) {
    const KvHeadCall head = kv_head(args, lse, g);
    const auto seen = with_lead(layer, g).subspan(size_t(lead_ - n_lead), size_t(args.kv.kv_len));
    setup_.site.ops->scale(seen, float(std::pow(decay_, double(args.q.rows))));
    setup_.site.ops->attention_column_sums(head.args, head.lse, rows_, weights_, seen);
  }
}

void FadingScores::weigh_rows(int64_t n_rows) {
  const auto n_counted = std::min(n_rows, int64_t(std::log(kLeastWeight) / std::log(decay_)) + 1);
  rows_.clear(), weights_.clear();
  for (int64_t age = n_counted - 1; age >= 0; --age) {
    rows_.push_back(int32_t(n_rows - 1 - age));
    weights_.push_back(float(std::pow(decay_, double(age))));
  }
}

std::span<float> FadingScores::with_lead(int64_t layer, int64_t kv_head) {
  const int64_t n = lead_ + setup_.capacity;
  return scores_.span().subspan(size_t((layer * setup_.shape.n_kv_heads + kv_head) * n), size_t(n));
}

std::span<float> FadingScores::of(int64_t layer, int64_t kv_head) {
  return with_lead(layer, kv_head).subspan(size_t(lead_));
}

void FadingScores::reset() { setup_.site.device.fill_zero(scores_.data(), scores_.size() * int64_t(sizeof(float))); }

std::vector<StatePart> FadingScores::state(int64_t layer) {
  std::vector<StatePart> parts;
  for (int64_t g = 0; g < setup_.shape.n_kv_heads; ++g) {
    parts.push_back({.name = fmt::format("scores {}.{} f32", layer, g),
                     .data = reinterpret_cast<std::byte*>(of(layer, g).data()),
                     .slot_bytes = sizeof(float)});
  }
  return parts;
}

}  // namespace reform
