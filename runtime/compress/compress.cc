#include "runtime/compress/compress.h"

#include <fmt/format.h>

#include <algorithm>

namespace reform {
namespace {

// H2O's column sums are taken over every kObserverStride-th query, each standing for its neighbours.
constexpr int64_t kObserverStride = 1;

// What a checkpoint can hold.
int64_t stored_slots(const CompressOptions& o) {
  return o.policy->carry == Carry::kCache ? o.cache_tokens + 1 : ingest_sizes(o).capacity;
}

}  // namespace

CompressSizes ingest_sizes(const CompressOptions& o) {
  if (o.policy->carry == Carry::kCache) return {1 + o.chunk_tokens, o.cache_tokens + 1 + o.chunk_tokens};
  const int64_t call = 1 + o.overlap_tokens + o.chunk_tokens;  // BOS, overlap, chunk
  return {call, std::max(call, 1 + kQuestionTailTokens)};
}

CompressSizes question_sizes(const CompressOptions& o, int64_t n_question_tokens) {
  return {n_question_tokens, stored_slots(o) + n_question_tokens};
}

Result<std::unique_ptr<Compressor>> Compressor::create(const Model& model, Device& device, Ops& ops,
                                                       MemoryAccount& host, const Heads& heads,
                                                       const CompressOptions& options, const CompressSizes& sizes) {
  const ModelShape& shape = model.shape();
  std::unique_ptr<Compressor> c(new Compressor());
  c->device_ = &device;
  c->host_ = &host;
  c->ops_ = &ops;
  c->options_ = options;
  c->heads_ = heads;
  c->exit_layer_ = exit_layer(heads);
  c->layout_ = {int64_t(heads.size()), shape.head_dim};
  const auto [call, capacity] = sizes;
  MemoryAccount& account = device.account();
  // The exit layer stops at its projections, so it has no cache.
  TRY_ASSIGN(c->cache_,
             KvCache::create(account, options.kv_type, c->exit_layer_, shape.n_kv_heads, shape.head_dim, capacity));
  TRY_ASSIGN(c->transformer_, Transformer::create(model, device, ops, call, capacity));
  if (options.policy->wants_scores) {
    TRY_ASSIGN(c->scores_, Buffer<float>::create(account, MemoryCategory::kKvCache, c->exit_layer_ * capacity));
  }
  if (options.policy->carry == Carry::kCache) {
    TRY_ASSIGN(c->keep_, Buffer<int32_t>::create(account, MemoryCategory::kKvCache, options.cache_tokens));
  }
  for (int64_t i = 0; i < (device.is_host() ? 1 : 2); ++i) {
    RowBuffer& buffer = c->row_buffers_[i];
    const int64_t bytes = call * c->layout_.row_bytes();
    TRY_ASSIGN(buffer.rows, Buffer<std::byte>::create(account, MemoryCategory::kIndex, bytes));
    if (device.is_host()) continue;
    TRY_ASSIGN(buffer.host, PinnedBuffer::create(*device.copies(), host, MemoryCategory::kIndex, bytes));
  }
  return c;
}

Compressor::~Compressor() {
  for (const RowBuffer& buffer : row_buffers_) {
    if (buffer.copy >= 0) (void)device_->copies()->wait_for(buffer.copy).ok();
  }
}

void Compressor::reset() {
  cache_.set_kv_len(0);
  loading_kv_len_ = 0;
  device_->fill_zero(scores_.data(), scores_.size() * int64_t(sizeof(float)));
}

Status Compressor::run(std::span<const int32_t> ids, int64_t skip_tokens,
                       const std::function<void(double)>& on_progress, const CancelToken* cancel) {
  ForwardArgs args{
      .ids = ids, .cache = &cache_, .rotated_keys = false, .last_layer = exit_layer_, .stop_at_states = true};
  ForwardHooks hooks;
  hooks.on_states = [&](int64_t layer, const LayerStates& states) {
    capture_states(*ops_, heads_, layout_, layer, states, skip_tokens, row_buffer_->rows.data());
  };
  if (options_.policy->wants_scores && observing_) {
    hooks.on_attention = [&](int64_t layer, const AttentionArgs& a, MatView<const float> lse) {
      add_attention(layer, a, lse);
    };
  }
  hooks.on_progress = on_progress;
  hooks.cancel = cancel;
  TRY(take_row_buffer());
  return transformer_->forward(args, hooks);
}

void Compressor::add_attention(int64_t layer, const AttentionArgs& args, MatView<const float> lse) {
  observers_.clear();
  observer_weights_.clear();
  for (int64_t row = 0; row < args.q.rows; row += kObserverStride) {
    observers_.push_back(int32_t(row));
    observer_weights_.push_back(float(std::min(kObserverStride, args.q.rows - row)));
  }
  ops_->attention_column_sums(args, lse, observers_, observer_weights_, scores_of(layer).first(size_t(args.kv.kv_len)));
}

// On the device, which nobody waits for.
void Compressor::evict() {
  const int64_t kv_len = cache_.kv_len(), budget = options_.cache_tokens;
  if (options_.policy->carry == Carry::kNothing || kv_len <= budget) return;
  const KeptSlots kept = options_.policy->kept(budget, options_.sink_tokens);
  CHECK(kept.total() == budget && budget == keep_.size() && (kept.heaviest == 0 || options_.policy->wants_scores));
  for (int64_t layer = 0; layer < exit_layer_; ++layer) {
    const std::span<float> scores = scores_of(layer);
    ops_->choose_slots(kept, kv_len, scores.first(scores.empty() ? 0 : size_t(kv_len)), keep_.span());
    ops_->compact_kv(cache_.layer(layer, kv_len), keep_.span());
    if (!scores.empty()) ops_->compact_scores(scores, keep_.span());
  }
  cache_.set_kv_len(budget);
}

std::span<float> Compressor::scores_of(int64_t layer) {
  if (scores_.size() == 0) return {};
  return scores_.span().subspan(size_t(layer * cache_.capacity()), size_t(cache_.capacity()));
}

Result<RowsForHost> Compressor::run_chunk(std::span<const int32_t> overlap, std::span<const int32_t> chunk,
                                          const std::function<void(double)>& on_progress, const CancelToken* cancel) {
  CHECK(int64_t(chunk.size()) <= options_.chunk_tokens && !chunk.empty());
  const bool alone = options_.policy->carry == Carry::kNothing;
  if (alone) reset();
  ids_.clear();
  if (cache_.kv_len() == 0 && options_.bos >= 0) ids_.push_back(options_.bos);
  if (alone)
    ids_.insert(ids_.end(), overlap.end() - std::min<ptrdiff_t>(overlap.size(), options_.overlap_tokens),
                overlap.end());
  const int64_t skip = int64_t(ids_.size());
  ids_.insert(ids_.end(), chunk.begin(), chunk.end());
  TRY(run(ids_, skip, on_progress, cancel));
  evict();
  return copy_out(chunk.size());
}

Status Compressor::run_tail(std::span<const int32_t> tail, const CancelToken* cancel) {
  reset();
  const size_t step = size_t(options_.chunk_tokens);
  for (size_t begin = 0; begin < tail.size(); begin += step) {
    ids_.clear();
    if (begin == 0 && options_.bos >= 0) ids_.push_back(options_.bos);
    const auto piece = tail.subspan(begin, std::min(step, tail.size() - begin));
    ids_.insert(ids_.end(), piece.begin(), piece.end());
    TRY(run(ids_, 0, {}, cancel));
  }
  return {};
}

Result<std::span<const std::byte>> Compressor::run_question(std::span<const int32_t> ids, const CancelToken* cancel) {
  const int64_t kv_len = cache_.kv_len();
  observing_ = false;
  const Status status = run(ids, 0, {}, cancel);
  observing_ = true;
  cache_.set_kv_len(kv_len);
  TRY(status);
  TRY_ASSIGN(const RowsForHost rows, copy_out(ids.size()));
  TRY(wait_for(rows));
  return rows.bytes;
}

// The one whose rows were copied out longer ago, which ops may write once they have been.
Status Compressor::take_row_buffer() {
  if (device_->is_host()) return {};
  row_buffer_ = row_buffer_ == row_buffers_ ? row_buffers_ + 1 : row_buffers_;
  return row_buffer_->copy < 0 ? ok_status() : device_->copies()->ops_wait_for(row_buffer_->copy);
}

Result<RowsForHost> Compressor::copy_out(size_t n_tokens) {
  const int64_t bytes = int64_t(n_tokens) * layout_.row_bytes();
  RowBuffer& b = *row_buffer_;
  if (device_->is_host()) return RowsForHost{{b.rows.data(), size_t(bytes)}, -1};
  TRY_ASSIGN(b.copy, device_->copies()->start(b.host.data(), b.rows.data(), bytes));
  return RowsForHost{{b.host.data(), size_t(bytes)}, b.copy};
}

Status Compressor::wait_for(const RowsForHost& rows) {
  return rows.copy < 0 ? ok_status() : device_->copies()->wait_for(rows.copy);
}

int64_t Compressor::parts_per_layer() const { return 2 * cache_.layer(0, 0).n_kv_heads + (scores_.size() > 0 ? 1 : 0); }

// Per layer: the keys of each KV head, the values of each, and the scores where the policy has them.
Compressor::Part Compressor::part(int64_t index) const {
  const int64_t layer = index / parts_per_layer(), place = index % parts_per_layer();
  const KvView view = cache_.layer(layer, 0);
  if (place == 2 * view.n_kv_heads) {
    auto* scores = const_cast<float*>(scores_.data()) + layer * cache_.capacity();
    return {fmt::format("scores {} f32", layer), reinterpret_cast<std::byte*>(scores), 4};
  }
  const bool is_key = place < view.n_kv_heads;
  const int64_t g = place % view.n_kv_heads, slot_bytes = view.head_dim * elem_bytes(view.type);
  return {fmt::format("{} {}.{} {}", is_key ? "k" : "v", layer, g, view.type == KvView::Type::kF32 ? "f32" : "f16"),
          static_cast<std::byte*>(is_key ? view.k : view.v) + g * view.capacity * slot_bytes, slot_bytes};
}

Result<std::vector<CachePart>> Compressor::parts() {
  std::vector<CachePart> all;
  int64_t n_copied = 0;
  if (!device_->is_host() && host_parts_.size() == 0) {
    TRY_ASSIGN(host_parts_, Buffer<std::byte>::create(*host_, MemoryCategory::kCheckpoint,
                                                      most_parts_bytes(stored_slots(options_))));
  }
  for (int64_t i = 0; cache_.kv_len() > 0 && i < exit_layer_ * parts_per_layer(); ++i) {
    const Part p = part(i);
    const int64_t bytes = cache_.kv_len() * p.slot_bytes;
    const std::byte* data = p.data;
    if (!device_->is_host()) {
      CHECK(n_copied + bytes <= host_parts_.size());
      TRY(device_->to_host(host_parts_.data() + n_copied, p.data, bytes));
      data = host_parts_.data() + n_copied;
      n_copied += bytes;
    }
    all.push_back({p.name, {data, size_t(bytes)}});
  }
  return all;
}

int64_t Compressor::slot_bytes() const {
  int64_t bytes = 0;
  for (int64_t i = 0; i < exit_layer_ * parts_per_layer(); ++i) bytes += part(i).slot_bytes;
  return bytes;
}

int64_t Compressor::parts_bytes() const { return slot_bytes() * cache_.kv_len(); }

int64_t Compressor::most_parts_bytes(int64_t n_tokens) const {
  return slot_bytes() * std::min(stored_slots(options_), n_tokens + 1);
}

Status Compressor::load_part(int64_t index, const std::string& name, std::span<const std::byte> bytes) {
  if (index >= exit_layer_ * parts_per_layer())
    return {Code::kCorrupt, fmt::format("checkpoint: unexpected part '{}'", name)};
  const Part p = part(index);
  const int64_t size_bytes = int64_t(bytes.size());
  if (index == 0) loading_kv_len_ = size_bytes / p.slot_bytes;
  if (name != p.name || size_bytes != loading_kv_len_ * p.slot_bytes || loading_kv_len_ > stored_slots(options_)) {
    return {Code::kCorrupt,
            fmt::format("checkpoint: part {} is '{}' of {} bytes; expected '{}' of {} slots of {} bytes, {} at most",
                        index, name, size_bytes, p.name, loading_kv_len_, p.slot_bytes, stored_slots(options_))};
  }
  return device_->to_device(p.data, bytes.data(), size_bytes);
}

Status Compressor::finish_load(int64_t n_parts) {
  if (n_parts != 0 && n_parts != exit_layer_ * parts_per_layer()) {
    return {Code::kCorrupt, fmt::format("checkpoint: {} parts; expected {}", n_parts, exit_layer_ * parts_per_layer())};
  }
  cache_.set_kv_len(n_parts == 0 ? 0 : loading_kv_len_);
  return {};
}

}  // namespace reform
