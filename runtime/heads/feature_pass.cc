#include "runtime/heads/feature_pass.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/compress/embedding.h"
#include "runtime/model/soundness.h"

namespace reform {
namespace {

constexpr int64_t kSectionTokens = 4096;
constexpr int64_t kBatchRows = 512;  // of questions: their states of a layer's heads stay in the core's own cache
constexpr HeadRef::Part kParts[] = {HeadRef::Part::kQ, HeadRef::Part::kK, HeadRef::Part::kV};

int64_t heads_in(const ModelShape& shape) { return shape.n_heads + 2 * shape.n_kv_heads; }

int64_t longest_section(const SearchText& text) {
  int64_t longest = 0;
  for (const PassageRange& s : text.sections) longest = std::max(longest, int64_t(text.tokens_of(s).size()));
  return longest;
}

int64_t capacity_for(const SearchText& text) { return 1 + longest_section(text) + kLongestSampleQuestion; }

int64_t call_tokens_for(const SearchText& text) { return std::max(1 + longest_section(text), kLongestSampleQuestion); }

Feature to_feature(double mean) { return Feature(std::lround(std::clamp(mean, -1.0, 1.0) * kFeatureSteps)); }

}  // namespace

Heads all_heads(const ModelShape& shape, int64_t last_layer) {
  Heads heads;
  for (int64_t layer = 0; layer <= last_layer; ++layer) {
    for (const HeadRef::Part part : kParts) {
      const int64_t n = part == HeadRef::Part::kQ ? shape.n_heads : shape.n_kv_heads;
      for (int64_t h = 0; h < n; ++h) heads.push_back({layer, part, h});
    }
  }
  return heads;
}

// A section and a question fit the window that the model was trained on, if passages do.
int64_t FeaturePass::section_tokens(const ModelShape& shape) {
  const int64_t slots = shape.trained_window_tokens - 1 - kLongestSampleQuestion;
  return std::clamp<int64_t>(slots, 128, kSectionTokens);
}

OpLimits FeaturePass::limits(const ModelShape& shape, const Device& device, const SearchText& text) {
  return Transformer::limits(shape, device, call_tokens_for(text), capacity_for(text));
}

WeightUse FeaturePass::weights(const FeaturePassOptions& options) {
  return {.last_layer = options.last_layer, .stop_at_states = true, .output = false};
}

FeaturePass::FeaturePass(const Model& model, const Site& site, const SearchText& text,
                         const FeaturePassOptions& options)
    : model_(model),
      shape_(model.shape()),
      device_(site.device),
      ops_(site.ops),
      text_(text),
      options_(options),
      heads_per_layer_(heads_in(shape_)) {
  first_rows_ = {0};
  for (const SampleQuestion& q : text.questions) first_rows_.push_back(first_rows_.back() + int64_t(q.ids.size()));
  PassageRange batch;
  for (int64_t q = 0; q < text.n_questions(); ++q) {
    if (first_rows_[size_t(q + 1)] - first_rows_[size_t(batch.begin)] > kBatchRows) {
      batch.end = q;
      batches_.push_back(batch);
      batch.begin = q;
    }
  }
  batches_.push_back({batch.begin, text.n_questions()});
}

Result<std::unique_ptr<FeaturePass>> FeaturePass::create(const Model& model, const Site& site, const SearchText& text,
                                                         const FeaturePassOptions& options) {
  std::unique_ptr<FeaturePass> pass(new FeaturePass(model, site, text, options));
  const ModelShape& shape = model.shape();
  TRY_ASSIGN(pass->cache_, KvCache::create(site.device.account(), options.kv_type, options.last_layer, shape.n_kv_heads,
                                           shape.head_dim, capacity_for(text)));
  TRY_ASSIGN(pass->transformer_, Transformer::create(model, site, call_tokens_for(text), capacity_for(text)));
  TRY(pass->allocate(site));
  return pass;
}

Status FeaturePass::allocate(const Site& site) {
  MemoryAccount &there = site.device.account(), &host = site.host;
  constexpr auto kCategory = MemoryCategory::kIndex;
  const auto make_rows = [&](Rows& rows, MemoryAccount& account, int64_t n_rows) -> Status {
    TRY_ASSIGN(rows.values, Buffer<int8_t>::create(account, kCategory, n_rows * heads_per_layer_ * shape_.head_dim));
    TRY_ASSIGN(rows.scales, Buffer<float>::create(account, kCategory, n_rows * heads_per_layer_));
    return {};
  };
  const int64_t batch_rows = std::min(first_rows_.back(), kBatchRows);
  int64_t most_passages = 0;
  for (const PassageRange& s : text_.sections) most_passages = std::max(most_passages, s.size());
  TRY(make_rows(rows_, there, call_tokens_for(text_)));
  TRY(make_rows(questions_, host, (options_.last_layer + 1) * first_rows_.back()));
  TRY(make_rows(batch_, there, device_.is_host() ? 0 : batch_rows));
  const int64_t n_best = most_passages * heads_per_layer_ * batch_rows;
  TRY_ASSIGN(best_, Buffer<float>::create(there, kCategory, n_best));
  TRY_ASSIGN(host_best_, Buffer<std::byte>::create(host, kCategory, copy_bytes(site.device, n_best * 4)));
  const int64_t row_bytes = heads_per_layer_ * std::max(shape_.head_dim, int64_t(sizeof(float)));
  TRY_ASSIGN(host_rows_,
             Buffer<std::byte>::create(host, kCategory, copy_bytes(site.device, kLongestSampleQuestion * row_bytes)));
  TRY_ASSIGN(features_,
             Buffer<Feature>::create(host, kCategory, heads_per_layer_ * text_.n_questions() * most_passages));
  return {};
}

int64_t FeaturePass::n_rows(const PassageRange& questions) const {
  return first_rows_[size_t(questions.end)] - first_rows_[size_t(questions.begin)];
}

Status FeaturePass::forward(std::span<const int32_t> ids, const CancelToken* cancel, ForwardHooks hooks) {
  const ForwardArgs args{
      .ids = ids, .cache = &cache_, .rotated_keys = false, .last_layer = options_.last_layer, .stop_at_states = true};
  hooks.cancel = cancel;
  return transformer_->forward(args, hooks);
}

// The layer's rows without the first skip_tokens.
void FeaturePass::capture(const LayerStates& states, int64_t skip_tokens) {
  const int64_t d = shape_.head_dim, width = heads_per_layer_ * d, n = states.q.rows - skip_tokens;
  int64_t i = 0;
  for (const HeadRef::Part part : kParts) {
    const MatView<const float> all = states_of(states, part).row_range(skip_tokens, states.q.rows);
    for (int64_t at = 0; at < all.cols; at += d, ++i) {
      ops_->normalise_quantise(all.col_range(at, at + d), {}, {rows_.values.data() + i * d, n, d, width},
                               {rows_.scales.data() + i, n, 1, heads_per_layer_});
    }
  }
}

Status FeaturePass::keep_question(int64_t layer, int64_t first_row, int64_t n_rows) {
  const int64_t at = (layer * first_rows_.back() + first_row) * heads_per_layer_, n = n_rows * heads_per_layer_;
  TRY_ASSIGN(const std::byte* const values,
             seen_by_host(device_, rows_.values.data(), n * shape_.head_dim, host_rows_.data()));
  std::memcpy(questions_.values.data() + at * shape_.head_dim, values, size_t(n * shape_.head_dim));
  TRY_ASSIGN(const std::byte* const scales,
             seen_by_host(device_, rows_.scales.data(), n * int64_t(sizeof(float)), host_rows_.data()));
  float* const kept = questions_.scales.data() + at;
  std::memcpy(kept, scales, size_t(n) * sizeof(float));
  if (std::all_of(kept, kept + n, [](float scale) { return scale == 0; })) return states_not_numbers(layer);
  return {};
}

Status FeaturePass::ask_questions(const OnProgress& on_progress, const CancelToken* cancel) {
  cache_.set_kv_len(0);
  std::vector<int32_t> ids;
  if (options_.bos >= 0) ids.push_back(options_.bos);
  const auto first = text_.tokens_of(text_.sections.front());
  ids.insert(ids.end(), first.begin(), first.begin() + std::min<ptrdiff_t>(ptrdiff_t(first.size()), kAskedOverTokens));
  TRY(forward(ids, cancel, {}));
  const int64_t kv_len = cache_.kv_len();
  for (size_t q = 0; q < text_.questions.size(); ++q) {
    const int64_t first_row = first_rows_[q], n = first_rows_[q + 1] - first_row;
    Status kept;
    ForwardHooks asking;
    asking.on_states = [&](int64_t layer, const LayerStates& states) {
      capture(states, 0);
      if (kept.ok()) kept = keep_question(layer, first_row, n);
    };
    const Status status = forward(text_.questions[q].ids, cancel, asking);
    cache_.set_kv_len(kv_len);
    TRY(status);
    TRY(kept);
    on_progress(double(first_row + n) / double(first_rows_.back()));
  }
  return {};
}

Result<std::span<const float>> FeaturePass::best_cosines(int64_t layer, int64_t first_row, int64_t n_rows,
                                                         const EmbeddingRows& stored, std::span<const int32_t> ends) {
  const int64_t at = (layer * first_rows_.back() + first_row) * heads_per_layer_, n = n_rows * heads_per_layer_;
  TRY_ASSIGN(const std::byte* const values,
             seen_by_ops(device_, questions_.values.data() + at * shape_.head_dim, n * shape_.head_dim,
                         reinterpret_cast<std::byte*>(batch_.values.data())));
  TRY_ASSIGN(const std::byte* const scales,
             seen_by_ops(device_, questions_.scales.data() + at, n * int64_t(sizeof(float)),
                         reinterpret_cast<std::byte*>(batch_.scales.data())));
  const EmbeddingRows asked{reinterpret_cast<const int8_t*>(values), reinterpret_cast<const float*>(scales), n_rows,
                            heads_per_layer_, shape_.head_dim};
  const int64_t n_best = int64_t(ends.size()) * n;
  ops_->best_cosines(stored, asked, ends, best_.span().first(size_t(n_best)));
  TRY_ASSIGN(const std::byte* const best,
             seen_by_host(device_, best_.data(), n_best * int64_t(sizeof(float)), host_best_.data()));
  return std::span(reinterpret_cast<const float*>(best), size_t(n_best));
}

// cosines [n_passages, heads_per_layer, n_rows] of a batch's questions go into the features.
void FeaturePass::weigh(std::span<const float> cosines, PassageRange questions, int64_t n_rows, int64_t n_passages) {
  const int64_t n_questions = text_.n_questions();
  for (int64_t q = questions.begin; q < questions.end; ++q) {
    const int64_t first = first_rows_[size_t(q)] - first_rows_[size_t(questions.begin)];
    const std::vector<double>& weights = text_.questions[size_t(q)].weights;
    for (int64_t h = 0; h < heads_per_layer_; ++h) {
      Feature* const out = features_.data() + (h * n_questions + q) * n_passages;
      for (int64_t p = 0; p < n_passages; ++p) {
        const float* const c = &cosines[size_t((p * heads_per_layer_ + h) * n_rows + first)];
        double mean = 0;
        for (size_t t = 0; t < weights.size(); ++t) mean += weights[t] * double(c[t]);
        out[p] = to_feature(mean);
      }
    }
  }
}

Status FeaturePass::score_layer(int64_t layer, const PassageRange& passages, const CancelToken* cancel) {
  const auto n_tokens = int64_t(text_.tokens_of(passages).size());
  const EmbeddingRows stored{rows_.values.data(), rows_.scales.data(), n_tokens, heads_per_layer_, shape_.head_dim};
  std::vector<int32_t> ends;
  for (int64_t p = passages.begin; p < passages.end; ++p)
    ends.push_back(int32_t(text_.passage_ends[size_t(p)] - text_.begin_token(passages.begin)));
  const Stopwatch watch;
  for (const PassageRange& batch : batches_) {
    if (cancel != nullptr && cancel->cancelled()) return {Code::kCancelled, "stopped"};
    TRY_ASSIGN(const auto cosines, best_cosines(layer, first_rows_[size_t(batch.begin)], n_rows(batch), stored, ends));
    weigh(cosines, batch, n_rows(batch), passages.size());
  }
  scoring_ms_ += watch.elapsed_ms();
  return {};
}

Status FeaturePass::run_section(FeatureFile& file, const OnProgress& on_progress, const CancelToken* cancel) {
  const PassageRange& passages = text_.sections[size_t(file.n_sections_done())];
  const auto tokens = text_.tokens_of(passages);
  std::vector<int32_t> ids;
  if (options_.bos >= 0) ids.push_back(options_.bos);
  const auto n_skipped = int64_t(ids.size());
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  const int64_t n_layer = heads_per_layer_ * text_.n_questions() * passages.size();
  cache_.set_kv_len(0);
  file.begin_section();
  Status scored;
  ForwardHooks hooks;
  hooks.on_progress = [&](double done) { on_progress(done * double(tokens.size())); };
  hooks.on_states = [&](int64_t layer, const LayerStates& states) {
    if (!scored.ok()) return;
    capture(states, n_skipped);
    scored = score_layer(layer, passages, cancel);
    if (scored.ok()) scored = file.append(features_.span().first(size_t(n_layer)));
  };
  TRY(forward(ids, cancel, hooks));
  TRY(scored);
  return file.end_section();
}

}  // namespace reform
