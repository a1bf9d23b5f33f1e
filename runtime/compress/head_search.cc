#include "runtime/compress/head_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/compress/embedding.h"

namespace reform {
namespace {

constexpr double kDepthShare = 0.7;  // the best heads lie below this share of the layers in every model measured
constexpr int64_t kHeadsPerKind = 2;

// Samples per kind: 12 for a model of half a billion parameters, fewer for larger ones, so that the search takes
// minutes.
int64_t samples_per_kind(int64_t n_params) {
  return std::clamp<int64_t>(int64_t(12 * 0.5e9 / double(std::max<int64_t>(n_params, 1))), 3, 12);
}

// scores[i] = max over question rows of the cosine with text row i. states [n_text + n_question, head_dim].
void cosine_scores(const MatView<const float>& states, int64_t n_text, std::vector<float>& unit,
                   std::vector<float>& scores) {
  const int64_t d = states.cols;
  unit.resize(size_t(states.rows * d));
  for (int64_t r = 0; r < states.rows; ++r) {
    const float* row = states.row(r);
    const float norm = std::sqrt(std::inner_product(row, row + d, row, 0.0f));
    for (int64_t i = 0; i < d; ++i) unit[size_t(r * d + i)] = norm > 0 ? row[i] / norm : 0.0f;
  }
  scores.assign(size_t(n_text), -1.0f);
  for (int64_t t = 0; t < n_text; ++t) {
    for (int64_t q = n_text; q < states.rows; ++q) {
      const float* a = &unit[size_t(t * d)];
      scores[size_t(t)] = std::max(scores[size_t(t)], std::inner_product(a, a + d, &unit[size_t(q * d)], 0.0f));
    }
  }
}

}  // namespace

int64_t HeadSearch::last_layer(const ModelShape& shape) {
  return std::max<int64_t>(0, int64_t(kDepthShare * double(shape.n_layers)) - 1);
}

Result<std::unique_ptr<HeadSearch>> HeadSearch::create(const Model& model, const Tokenizer& tokenizer, const Site& site,
                                                       KvView::Type kv_type) {
  const ModelShape& shape = model.shape();
  std::unique_ptr<HeadSearch> s(new HeadSearch(model, tokenizer, site.device, site.host));
  TRY_ASSIGN(s->cache_, KvCache::create(site.device.account(), kv_type, last_layer(shape) + 1, shape.n_kv_heads,
                                        shape.head_dim, kCallTokens));
  TRY_ASSIGN(s->transformer_, Transformer::create(model, site, kCallTokens, kCallTokens));
  const int64_t widest_bytes = kCallTokens * shape.n_heads * shape.head_dim * int64_t(sizeof(float));
  TRY_ASSIGN(s->staging_,
             Buffer<std::byte>::create(site.host, MemoryCategory::kActivations, copy_bytes(site.device, widest_bytes)));
  return s;
}

Result<Heads> HeadSearch::run(int64_t n_params, const IngestProgressCallback& progress, const CancelToken* cancel) {
  const int64_t n_samples = samples_per_kind(n_params), total_tokens = 2 * n_samples * kTextTokens;
  int64_t tokens_done = 0;
  const Stopwatch watch;
  ForwardHooks hooks;
  hooks.cancel = cancel;
  hooks.on_progress = [&](double done) {
    if (!progress) return;
    const int64_t n = tokens_done + int64_t(done * double(kTextTokens));
    const double rate = double(n) / (watch.elapsed_ms() / 1000);
    progress({.tokens_done = n,
              .tokens_total = total_tokens,
              .tokens_per_s = rate,
              .eta_s = n > 0 ? double(total_tokens - n) / rate : -1,
              .host_bytes = host_.current_total_bytes(),
              .phase = "heads"});
  };
  for (int64_t i = 0; i < n_samples; ++i) {
    for (const SampleKind kind : {SampleKind::kPattern, SampleKind::kMultiHop}) {
      TRY_ASSIGN(const SearchSample sample, make_search_sample(tokenizer_, kind, kTextTokens, uint64_t(i)));
      TRY(run_sample(kind, sample, hooks));
      tokens_done += kTextTokens;
    }
  }
  return choose();
}

Status HeadSearch::run_sample(SampleKind kind, const SearchSample& sample, const ForwardHooks& hooks) {
  cache_.set_kv_len(0);
  ForwardArgs args{.ids = sample.ids,
                   .cache = &cache_,
                   .rotated_keys = true,
                   .last_layer = last_layer(model_.shape()),
                   .stop_at_states = true};
  ForwardHooks ranking = hooks;
  Status ranked;
  ranking.on_states = [&](int64_t layer, const LayerStates& states) {
    if (ranked.ok()) ranked = rank_layer(kind, sample, layer, states);
  };
  TRY(transformer_->forward(args, ranking));
  return ranked;
}

Result<MatView<const float>> HeadSearch::seen(const MatView<const float>& states) {
  TRY_ASSIGN(const std::byte* const there,
             seen_by_host(device_, states.data, states.rows * states.cols * 4, staging_.data()));
  return MatView<const float>(reinterpret_cast<const float*>(there), states.rows, states.cols);
}

Status HeadSearch::rank_layer(SampleKind kind, const SearchSample& sample, int64_t layer, const LayerStates& states) {
  const int64_t d = model_.shape().head_dim;
  const auto entry = [&](const HeadRef& head) -> HeadScore& {
    for (HeadScore& s : scores_) {
      if (s.head == head) return s;
    }
    scores_.push_back({.head = head});
    return scores_.back();
  };
  for (const HeadRef::Part part : {HeadRef::Part::kQ, HeadRef::Part::kK, HeadRef::Part::kV}) {
    TRY_ASSIGN(const MatView<const float> all, seen(states_of(states, part)));
    for (int64_t h = 0; h < all.cols / d; ++h) {
      cosine_scores(all.col_range(h * d, (h + 1) * d), sample.n_text, unit_, row_scores_);
      entry({layer, part, h}).rank[size_t(kind)] += mean_normalised_rank(row_scores_, sample.gold);
    }
  }
  return {};
}

Heads HeadSearch::choose() {
  Heads heads;
  for (const size_t kind : {size_t(SampleKind::kPattern), size_t(SampleKind::kMultiHop)}) {
    std::stable_sort(scores_.begin(), scores_.end(),
                     [&](const HeadScore& a, const HeadScore& b) { return a.rank[kind] < b.rank[kind]; });
    int64_t taken = 0;
    for (const HeadScore& s : scores_) {
      if (taken == kHeadsPerKind) break;
      if (std::find(heads.begin(), heads.end(), s.head) != heads.end()) continue;
      heads.push_back(s.head);
      ++taken;
    }
  }
  return heads;
}

double mean_normalised_rank(std::span<const float> scores, const std::vector<bool>& gold) {
  std::vector<float> sorted(scores.begin(), scores.end());
  std::sort(sorted.begin(), sorted.end());
  double sum = 0;
  int64_t n_gold = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!gold[i]) continue;
    sum += double(sorted.end() - std::upper_bound(sorted.begin(), sorted.end(), scores[i])) / double(scores.size());
    ++n_gold;
  }
  return n_gold > 0 ? sum / double(n_gold) : 0.5;
}

}  // namespace reform
