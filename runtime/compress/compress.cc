#include "runtime/compress/compress.h"

#include <fmt/format.h>

#include <algorithm>

namespace reform {

int64_t stored_slots(const CompressOptions& o) {
  return o.policy->carries() ? o.cache_tokens + 1 : ingest_sizes(o).capacity;
}

CompressSizes ingest_sizes(const CompressOptions& o) {
  if (o.policy->carries()) return {1 + o.chunk_tokens, o.cache_tokens + 1 + o.chunk_tokens};
  const int64_t call = 1 + o.overlap_tokens + o.chunk_tokens;  // BOS, overlap, chunk
  return {call, std::max(call, 1 + kQuestionTailTokens)};
}

CompressSizes question_sizes(const CompressOptions& o, int64_t n_question_tokens) {
  return {n_question_tokens, stored_slots(o) + n_question_tokens};
}

OpLimits Compressor::limits(const ModelShape& shape, const Device& device, const CompressSizes& sizes,
                            bool fp8_products) {
  OpLimits limits = Transformer::limits(shape, device, sizes.call_tokens, sizes.capacity);
  if (fp8_products) limits.code_weights = shape.n_layers * kMatricesPerLayer;
  return limits;
}

Result<std::unique_ptr<EvictionPolicy>> make_policy(const CompressOptions& options, const Site& site,
                                                    const ModelShape& shape, int64_t n_layers, int64_t capacity) {
  if (!options.policy->carries()) return std::unique_ptr<EvictionPolicy>();
  return options.policy->make({.site = site,
                               .shape = shape,
                               .n_layers = n_layers,
                               .capacity = capacity,
                               .budget = options.cache_tokens,
                               .sinks = options.sink_tokens});
}

WeightUse Compressor::weights(const Heads& heads) {
  return {.last_layer = exit_layer(heads), .stop_at_states = true, .output = false};
}

WeightUse Compressor::ingest_weights(const ModelShape& shape, const Heads& heads, const CompressOptions& options) {
  if (!options.full_depth) return weights(heads);
  return {.last_layer = shape.n_layers - 1, .stop_at_states = false, .output = false};
}

Result<std::unique_ptr<Compressor>> Compressor::create(const Model& model, const Site& site, const Heads& heads,
                                                       const CompressOptions& options, const CompressSizes& sizes) {
  const ModelShape& shape = model.shape();
  std::unique_ptr<Compressor> c(new Compressor());
  c->device_ = &site.device;
  c->ops_ = site.ops;
  c->options_ = options;
  c->heads_ = heads;
  c->exit_layer_ = exit_layer(heads);
  c->n_cached_ = options.full_depth ? shape.n_layers : c->exit_layer_;
  c->layout_ = {int64_t(heads.size()), shape.head_dim};
  const auto [call, capacity] = sizes;
  MemoryAccount& account = site.device.account();
  // If the exit layer is the last that runs, it stops at its projections and has no cache.
  TRY_ASSIGN(c->cache_,
             KvCache::create(account, options.kv_type, c->n_cached_, shape.n_kv_heads, shape.head_dim, capacity));
  TRY_ASSIGN(c->transformer_, Transformer::create(model, site, call, capacity));
  TRY_ASSIGN(c->policy_, make_policy(options, site, shape, c->n_cached_, capacity));
  c->state_ = checkpoint_parts(c->cache_, c->policy_.get());
  TRY_ASSIGN(c->outlet_, RowOutlet::create(site, call * c->layout_.row_bytes()));
  if (options.saves && options.page_tokens > 0) {
    CHECK(options.full_depth);
    TRY_ASSIGN(c->recorder_,
               PageRecorder::create(site, PageLayout::of(shape), options.page_tokens, options.chunk_tokens));
  }
  if (options.saves) {
    int64_t room = 0;
    for (const StatePart& p : c->state_)
      room += p.on_host ? 0 : copy_bytes(site.device, p.bytes(stored_slots(options)));
    TRY_ASSIGN(c->parts_room_, Buffer<std::byte>::create(site.host, MemoryCategory::kCheckpoint, room));
    c->undoes_ = copy_bytes(site.device, 1) == 0;
    int64_t kept = 0;
    for (const StatePart& p : c->state_) kept += c->undoes_ && !p.is_cache ? p.bytes(stored_slots(options)) : 0;
    TRY_ASSIGN(c->before_, Buffer<std::byte>::create(site.host, MemoryCategory::kCheckpoint, kept));
  }
  return c;
}

void Compressor::reset() {
  cache_.set_kv_len(0);
  cut_kv_len_.reset();
  if (policy_ != nullptr) policy_->reset();
}

Status Compressor::run(std::span<const int32_t> ids, int64_t skip_tokens, bool to_exit, const CancelToken* cancel,
                       ForwardHooks hooks) {
  ForwardArgs args{.ids = ids,
                   .cache = &cache_,
                   .rotated_keys = false,
                   .last_layer = to_exit ? exit_layer_ : n_cached_ - 1,
                   .stop_at_states = to_exit};
  if (policy_ != nullptr) args.slot_bias = [this](int64_t layer) { return policy_->slot_bias(layer); };
  hooks.on_states = [&, also = std::move(hooks.on_states)](int64_t layer, const LayerStates& states) {
    capture_states(*ops_, heads_, layout_, layer, states, skip_tokens, rows_);
    if (also) also(layer, states);
  };
  hooks.cancel = cancel;
  TRY_ASSIGN(rows_, outlet_->begin_call());
  return transformer_->forward(args, hooks);
}

// Issues only ops, so the host does not wait for the device.
void Compressor::evict() {
  const int64_t kv_len = cache_.kv_len(), budget = options_.cache_tokens;
  if (policy_ == nullptr || kv_len <= budget) return;
  for (int64_t layer = 0; layer < n_cached_; ++layer) policy_->evict(layer, cache_.layer(layer, kv_len));
  cache_.set_kv_len(budget);
}

Result<RowsForHost> Compressor::run_chunk(std::span<const int32_t> overlap, std::span<const int32_t> chunk,
                                          const std::function<void(double)>& on_progress, const CancelToken* cancel) {
  CHECK(int64_t(chunk.size()) <= options_.chunk_tokens && !chunk.empty());
  const bool alone = !options_.policy->carries();
  if (alone || cache_.kv_len() == 0) reset();
  ids_.clear();
  if (cache_.kv_len() == 0 && options_.bos >= 0) ids_.push_back(options_.bos);
  if (alone)
    ids_.insert(ids_.end(), overlap.end() - std::min<ptrdiff_t>(overlap.size(), options_.overlap_tokens),
                overlap.end());
  const int64_t skip = int64_t(ids_.size());
  ids_.insert(ids_.end(), chunk.begin(), chunk.end());
  ForwardHooks hooks;
  hooks.on_progress = on_progress;
  if (policy_ != nullptr && policy_->observes()) {
    hooks.on_attention = [this](int64_t layer, const AttentionArgs& args, MatView<const float> lse) {
      policy_->observe(layer, args, lse);
    };
  }
  if (recorder_ != nullptr) {
    recorder_->begin(int64_t(chunk.size()));
    hooks.on_states = [&](int64_t layer, const LayerStates& states) {
      recorder_->add(layer, states.k.row_range(skip, states.k.rows), states.v.row_range(skip, states.v.rows));
    };
  }
  cut_kv_len_ = cache_.kv_len();
  with_policy_state([](std::byte* now, std::byte* before, size_t n) { std::copy_n(now, n, before); });
  TRY(run(ids_, skip, !options_.full_depth, cancel, std::move(hooks)));
  cut_kv_len_.reset();
  evict();
  return outlet_->end_call(int64_t(chunk.size()) * layout_.row_bytes());
}

Status Compressor::run_tail(std::span<const int32_t> tail, const CancelToken* cancel) {
  reset();
  const size_t step = size_t(options_.chunk_tokens);
  for (size_t begin = 0; begin < tail.size(); begin += step) {
    ids_.clear();
    if (begin == 0 && options_.bos >= 0) ids_.push_back(options_.bos);
    const auto piece = tail.subspan(begin, std::min(step, tail.size() - begin));
    ids_.insert(ids_.end(), piece.begin(), piece.end());
    TRY(run(ids_, 0, !options_.full_depth, cancel));
  }
  return {};
}

Result<std::span<const std::byte>> Compressor::run_question(std::span<const int32_t> ids, const CancelToken* cancel) {
  const int64_t kv_len = cache_.kv_len();
  const Status status = run(ids, 0, /*to_exit=*/true, cancel);
  cache_.set_kv_len(kv_len);
  TRY(status);
  TRY_ASSIGN(const RowsForHost rows, outlet_->end_call(int64_t(ids.size()) * layout_.row_bytes()));
  TRY(outlet_->wait_for(rows));
  return rows.bytes;
}

Status Compressor::run_through(std::span<const int32_t> ids, const StatesFn& on_states, const CancelToken* cancel) {
  CHECK(options_.full_depth);
  const int64_t kv_len = cache_.kv_len();
  ForwardHooks hooks;
  hooks.on_states = on_states;
  const Status status = run(ids, 0, /*to_exit=*/false, cancel, std::move(hooks));
  cache_.set_kv_len(kv_len);
  return status;
}

void Compressor::with_policy_state(const std::function<void(std::byte*, std::byte*, size_t)>& fn) {
  if (!undoes_) return;
  std::byte* before = before_.data();
  for (const StatePart& p : state_) {
    if (p.is_cache) continue;
    const auto n = size_t(p.bytes(*cut_kv_len_));
    fn(p.data, before, n);
    before += n;
  }
}

bool Compressor::undo_chunk() {
  if (!cut_kv_len_) return true;
  if (!undoes_) return false;
  with_policy_state([](std::byte* now, const std::byte* before, size_t n) { std::copy_n(before, n, now); });
  cache_.set_kv_len(*cut_kv_len_);
  cut_kv_len_.reset();
  return true;
}

Status Compressor::wait_for(const RowsForHost& rows) { return outlet_->wait_for(rows); }

Result<std::vector<NamedBytes>> Compressor::parts() {
  CHECK(options_.saves);
  std::vector<NamedBytes> all;
  if (cache_.kv_len() == 0) return all;
  std::byte* room = parts_room_.data();
  for (const StatePart& p : state_) {
    const int64_t bytes = p.bytes(cache_.kv_len());
    const std::byte* data = p.data;
    if (!p.on_host) {
      TRY_ASSIGN(data, seen_by_host(*device_, p.data, bytes, room));
      room += copy_bytes(*device_, bytes);
    }
    all.push_back({p.name, {data, size_t(bytes)}});
  }
  return all;
}

int64_t Compressor::most_parts_bytes(int64_t n_tokens) const {
  const int64_t n_slots = std::min(stored_slots(options_), n_tokens + 1);
  int64_t bytes = 0;
  for (const StatePart& p : state_) bytes += p.bytes(n_slots);
  return bytes;
}

CacheLoader Compressor::loader() {
  reset();
  return {*device_, cache_, state_, stored_slots(options_)};
}

}  // namespace reform
