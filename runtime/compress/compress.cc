#include "runtime/compress/compress.h"

#include <fmt/format.h>

#include <algorithm>

namespace reform {
namespace {

// The most slots that a checkpoint holds.
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
  if (options.policy->carry == Carry::kCache) {
    TRY_ASSIGN(c->policy_, options.policy->make({.device = device,
                                                 .ops = ops,
                                                 .account = account,
                                                 .shape = shape,
                                                 .n_layers = c->exit_layer_,
                                                 .capacity = capacity,
                                                 .budget = options.cache_tokens,
                                                 .sinks = options.sink_tokens}));
  }
  c->state_ = c->state();
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
  if (policy_ != nullptr) policy_->reset();
}

Status Compressor::run(std::span<const int32_t> ids, int64_t skip_tokens, const CancelToken* cancel,
                       ForwardHooks hooks) {
  ForwardArgs args{
      .ids = ids, .cache = &cache_, .rotated_keys = false, .last_layer = exit_layer_, .stop_at_states = true};
  hooks.on_states = [&](int64_t layer, const LayerStates& states) {
    capture_states(*ops_, heads_, layout_, layer, states, skip_tokens, row_buffer_->rows.data());
  };
  hooks.cancel = cancel;
  TRY(take_row_buffer());
  return transformer_->forward(args, hooks);
}

// By ops alone: nobody waits for the device.
void Compressor::evict() {
  const int64_t kv_len = cache_.kv_len(), budget = options_.cache_tokens;
  if (policy_ == nullptr || kv_len <= budget) return;
  for (int64_t layer = 0; layer < exit_layer_; ++layer) policy_->evict(layer, cache_.layer(layer, kv_len));
  cache_.set_kv_len(budget);
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
  ForwardHooks hooks;
  hooks.on_progress = on_progress;
  if (policy_ != nullptr && policy_->observes()) {
    hooks.on_attention = [this](int64_t layer, const AttentionArgs& args, MatView<const float> lse) {
      policy_->observe(layer, args, lse);
    };
  }
  TRY(run(ids_, skip, cancel, std::move(hooks)));
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
    TRY(run(ids_, 0, cancel));
  }
  return {};
}

Result<std::span<const std::byte>> Compressor::run_question(std::span<const int32_t> ids, const CancelToken* cancel) {
  const int64_t kv_len = cache_.kv_len();
  const Status status = run(ids, 0, cancel);
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

// Per layer: the keys of each KV head, the values of each, and what the policy adds.
std::vector<StatePart> Compressor::state() const {
  std::vector<StatePart> all;
  for (int64_t layer = 0; layer < exit_layer_; ++layer) {
    const KvView view = cache_.layer(layer, 0);
    const int64_t slot_bytes = view.head_dim * elem_bytes(view.type);
    const char* const type = view.type == KvView::Type::kF32 ? "f32" : "f16";
    for (const bool is_key : {true, false}) {
      auto* const data = static_cast<std::byte*>(is_key ? view.k : view.v);
      for (int64_t g = 0; g < view.n_kv_heads; ++g) {
        all.push_back({.name = fmt::format("{} {}.{} {}", is_key ? "k" : "v", layer, g, type),
                       .data = data + g * view.capacity * slot_bytes,
                       .slot_bytes = slot_bytes});
      }
    }
    if (policy_ == nullptr) continue;
    for (StatePart& part : policy_->state(layer)) all.push_back(std::move(part));
  }
  return all;
}

Result<std::vector<CachePart>> Compressor::parts() {
  std::vector<CachePart> all;
  if (cache_.kv_len() == 0) return all;
  int64_t n_copied = 0;
  if (!device_->is_host() && host_parts_.size() == 0) {
    TRY_ASSIGN(host_parts_, Buffer<std::byte>::create(*host_, MemoryCategory::kCheckpoint,
                                                      most_parts_bytes(stored_slots(options_))));
  }
  for (const StatePart& p : state_) {
    const int64_t bytes = p.bytes(cache_.kv_len());
    if (p.on_host) {
      all.push_back({p.name, {p.data, size_t(bytes)}});
      continue;
    }
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

int64_t Compressor::most_parts_bytes(int64_t n_tokens) const {
  const int64_t n_slots = std::min(stored_slots(options_), n_tokens + 1);
  int64_t bytes = 0;
  for (const StatePart& p : state_) bytes += p.bytes(n_slots);
  return bytes;
}

Status Compressor::load_part(int64_t index, const std::string& name, std::span<const std::byte> bytes) {
  if (index >= int64_t(state_.size())) return {Code::kCorrupt, fmt::format("checkpoint: unexpected part '{}'", name)};
  const StatePart& p = state_[size_t(index)];
  const int64_t size_bytes = int64_t(bytes.size());
  if (index == 0) loading_kv_len_ = size_bytes / p.slot_bytes;
  if (name != p.name || size_bytes != p.bytes(loading_kv_len_) || loading_kv_len_ > stored_slots(options_)) {
    return {
        Code::kCorrupt,
        fmt::format("checkpoint: part {} is '{}' of {} bytes; expected '{}' of {} bytes ({} slots; {} at most)", index,
                    name, size_bytes, p.name, p.bytes(loading_kv_len_), loading_kv_len_, stored_slots(options_))};
  }
  if (p.on_host) {
    std::copy(bytes.begin(), bytes.end(), p.data);
    return {};
  }
  return device_->to_device(p.data, bytes.data(), size_bytes);
}

Status Compressor::finish_load(int64_t n_parts) {
  if (n_parts != 0 && n_parts != int64_t(state_.size())) {
    return {Code::kCorrupt, fmt::format("checkpoint: {} parts; expected {}", n_parts, state_.size())};
  }
  cache_.set_kv_len(n_parts == 0 ? 0 : loading_kv_len_);
  return {};
}

}  // namespace reform
