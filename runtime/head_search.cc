#include "runtime/head_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/try.h"
#include "runtime/stopwatch.h"
#include "runtime/transformer.h"

namespace reform {
namespace {

constexpr double kDepthShare = 0.7;    // the best heads lie below this share of the layers in every model measured
constexpr int64_t kTextTokens = 1200;  // a token wants 512-1,024 tokens before it
constexpr int64_t kHeadsPerKind = 2;

// Samples per kind: 12 for a model of half a billion parameters, fewer for larger ones, so that the search takes
// minutes.
int64_t samples_per_kind(int64_t n_params) {
  return std::clamp<int64_t>(int64_t(12 * 0.5e9 / double(std::max<int64_t>(n_params, 1))), 3, 12);
}

struct HeadScore {
  HeadRef head;
  double rank[2] = {0, 0};  // summed MNR per SampleKind
};

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

class Search {
 public:
  Search(Engine::Impl& engine, const IngestProgressCallback& progress, const CancelToken* cancel)
      : engine_(engine), progress_(progress), cancel_(cancel) {}
  Result<Heads> run();

 private:
  Status run_sample(SampleKind kind, const SearchSample& sample);
  Status rank_layer(SampleKind kind, const SearchSample& sample, int64_t layer, const LayerStates& states);
  Result<MatView<const float>> seen(const MatView<const float>& states);
  Heads choose();
  void report(int64_t tokens_done) const {
    if (!progress_) return;
    const double seconds = watch_.elapsed_ms() / 1000, rate = double(tokens_done) / seconds;
    progress_({.tokens_done = tokens_done,
               .tokens_total = total_tokens_,
               .tokens_per_s = rate,
               .eta_s = tokens_done > 0 ? double(total_tokens_ - tokens_done) / rate : -1,
               .host_bytes = engine_.account.current_total_bytes(),
               .phase = "heads"});
  }

  Engine::Impl& engine_;
  const IngestProgressCallback& progress_;
  const CancelToken* cancel_;
  Kernels kernels_;
  std::unique_ptr<Transformer> transformer_;
  KvCache cache_;
  Buffer<std::byte> staging_;  // a layer's states, where the host does not see the device's memory
  int64_t last_layer_ = 0, total_tokens_ = 0, tokens_done_ = 0;
  std::vector<HeadScore> scores_;
  std::vector<float> unit_, row_scores_;
  Stopwatch watch_;
};

Result<Heads> Search::run() {
  const ModelShape& shape = engine_.model->shape();
  const int64_t length = kTextTokens + kMaxQuestionTokens;
  last_layer_ = std::max<int64_t>(0, int64_t(kDepthShare * double(shape.n_layers)) - 1);
  JobPlan plan = plan_recompute(shape, *engine_.device, engine_.kv_type(), length, length);
  plan.device[MemoryCategory::kKvCache] =
      KvCache::bytes(engine_.kv_type(), last_layer_ + 1, shape.n_kv_heads, shape.head_dim, length);
  if (!engine_.device->is_host()) {
    plan.host[MemoryCategory::kActivations] = length * shape.n_heads * shape.head_dim * int64_t(sizeof(float));
  }
  TRY(engine_.make_room(plan, {.last_layer = last_layer_, .stop_at_states = true, .output = false},
                        fmt::format("a larger {} would fit", engine_.cap_flag()), cancel_));
  TRY_ASSIGN(kernels_, engine_.make_kernels(recompute_limits(shape, *engine_.device, length, length)));
  TRY_ASSIGN(cache_, KvCache::create(engine_.device->account(), engine_.kv_type(), last_layer_ + 1, shape.n_kv_heads,
                                     shape.head_dim, length));
  TRY_ASSIGN(transformer_, Transformer::create(*engine_.model, *engine_.device, *kernels_.ops, length, length));

  if (!engine_.device->is_host()) {
    TRY_ASSIGN(staging_, Buffer<std::byte>::create(engine_.account, MemoryCategory::kActivations,
                                                   length * shape.n_heads * shape.head_dim * 4));
  }

  const int64_t n_samples = samples_per_kind(engine_.info.n_params);
  total_tokens_ = 2 * n_samples * kTextTokens;
  for (int64_t i = 0; i < n_samples; ++i) {
    for (const SampleKind kind : {SampleKind::kPattern, SampleKind::kMultiHop}) {
      TRY_ASSIGN(const SearchSample sample, make_search_sample(*engine_.tokenizer, kind, kTextTokens, uint64_t(i)));
      TRY(run_sample(kind, sample));
      tokens_done_ += kTextTokens;
    }
  }
  return choose();
}

Status Search::run_sample(SampleKind kind, const SearchSample& sample) {
  cache_.set_kv_len(0);
  ForwardArgs args{
      .ids = sample.ids, .cache = &cache_, .rotated_keys = true, .last_layer = last_layer_, .stop_at_states = true};
  ForwardHooks hooks;
  Status ranked;
  hooks.on_states = [&](int64_t layer, const LayerStates& states) {
    if (ranked.ok()) ranked = rank_layer(kind, sample, layer, states);
  };
  hooks.on_progress = [&](double done) { report(tokens_done_ + int64_t(done * double(kTextTokens))); };
  hooks.cancel = cancel_;
  TRY(transformer_->forward(args, hooks));
  return ranked;
}

Result<MatView<const float>> Search::seen(const MatView<const float>& states) {
  TRY_ASSIGN(const auto bytes, seen_by_host(*engine_.device, states.data, states.rows * states.cols * 4, staging_));
  return MatView<const float>(reinterpret_cast<const float*>(bytes.data()), states.rows, states.cols);
}

Status Search::rank_layer(SampleKind kind, const SearchSample& sample, int64_t layer, const LayerStates& states) {
  const int64_t d = engine_.model->shape().head_dim;
  const auto entry = [&](const HeadRef& head) -> HeadScore& {
    for (HeadScore& s : scores_) {
      if (s.head == head) return s;
    }
    scores_.push_back({.head = head});
    return scores_.back();
  };
  for (const HeadRef::Part part : {HeadRef::Part::kQ, HeadRef::Part::kK, HeadRef::Part::kV}) {
    TRY_ASSIGN(const MatView<const float> all, seen(part == HeadRef::Part::kQ   ? states.q
                                                    : part == HeadRef::Part::kK ? states.k
                                                                                : states.v));
    for (int64_t h = 0; h < all.cols / d; ++h) {
      cosine_scores(all.col_range(h * d, (h + 1) * d), sample.n_text, unit_, row_scores_);
      entry({layer, part, h}).rank[size_t(kind)] += mean_normalised_rank(row_scores_, sample.gold);
    }
  }
  return {};
}

Heads Search::choose() {
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

}  // namespace

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

Result<Heads> search_heads(Engine::Impl& engine, const IngestProgressCallback& progress, const CancelToken* cancel) {
  return Search(engine, progress, cancel).run();
}

}  // namespace reform
