// The part of an ingest that is the same however it began: text, tokens, chunks, rows, checkpoints.
#include "runtime/jobs/ingest_job.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <algorithm>
#include <utility>

#include "base/try.h"

namespace reform {
namespace {

constexpr double kReportEveryMs = 100;
// In the store: a token's id and length at most, and a chunk's record of the text so far.
constexpr int64_t kSpanBytes = 16, kStateBytes = 64 * kKiB;

}  // namespace

Status IngestJob::use_settings(const ContextEntry& entry) {
  TRY_ASSIGN(settings_, parse_settings(entry.meta.settings, name_));
  if (settings_.model_fingerprint != engine_.info.fingerprint) {
    return {Code::kWrongModel,
            fmt::format("context '{}' belongs to the model {}, not to {}; use that one, --replace, or "
                        "another name",
                        name_, describe_model(settings_), engine_.info.path)};
  }
  const char* kv_type = engine_.kv_type_name();
  if (settings_.kv_type != kv_type) {
    return {Code::kWrongModel,
            fmt::format("context '{}' was begun with a cache of {}; {} --isa ref goes on with it", name_,
                        settings_.kv_type, settings_.kv_type == "f32" ? "only" : "anything but")};
  }
  TRY(check_settings_fit(settings_, engine_.model->shape(), name_));
  // Text that is valid reads the same either way, so a resume may turn it on.
  settings_.lossy = settings_.lossy || options_.lossy;
  return {};
}

Status IngestJob::open_sources(const PartStart& part) {
  const bool lossy = writer_ == nullptr && settings_.policy.empty() ? options_.lossy : settings_.lossy;
  TRY_ASSIGN(auto reader, SourceReader::open(sources_, part.source_begin_byte, lossy, cancel_));
  TRY_ASSIGN(pump_, TokenPump::start(*engine_.tokenizer, std::move(reader), part, lossy));
  return {};
}

// Phase 1's positions are slots of its cache, so they can pass what the model was trained on however short the text.
void IngestJob::warn_past_window(int64_t n_positions) const {
  const int64_t window = engine_.model->shape().trained_window_tokens;
  if (n_positions <= window) return;
  engine_.remark(
      LogLevel::kWarning,
      fmt::format("chunks of {} tokens over a cache of {} take {} positions, and the model was trained on {}: "
                  "passages will be found badly; --chunk-tokens {} --cache-tokens {} fits",
                  settings_.chunk_tokens, settings_.cache_tokens, n_positions, window, (window - 1) / 2,
                  (window - 1) / 2));
}

// A context's rows are compared with one another, so they are made alike.
Status IngestJob::check_products() const {
  if (settings_.fp8_products && !engine_.fp8_products()) {
    return {
        Code::kWrongModel,
        fmt::format("context '{}' was begun with FP8 products; --gpu-products fp8 on a GPU goes on with it", name_)};
  }
  if (!settings_.fp8_products && engine_.fp8_products()) {
    engine_.remark(LogLevel::kInfo,
                   fmt::format("context '{}' was begun without FP8 products and goes on without", name_));
  }
  if (settings_.fp8_products && find_policy(settings_.policy)->carry == Carry::kCache) {
    engine_.remark(
        LogLevel::kWarning,
        fmt::format("FP8 products can find fewer passages with the policy {}, as errors stay in its cache; with "
                    "none they do not (bench/results/quality.md)",
                    settings_.policy));
  }
  return {};
}

Status IngestJob::make_compressor() {
  compressor_.reset(), kernels_ = {};
  TRY(check_products());
  const ModelShape& shape = engine_.model->shape();
  const bool wants_bos = engine_.tokenizer->add_bos() && engine_.tokenizer->bos() >= 0;
  compress_ = {.policy = find_policy(settings_.policy),
               .chunk_tokens = settings_.chunk_tokens,
               .cache_tokens = settings_.cache_tokens,
               .sink_tokens = settings_.sink_tokens,
               .overlap_tokens = settings_.overlap_tokens,
               .bos = wants_bos ? engine_.tokenizer->bos() : -1,
               .kv_type = engine_.kv_type(),
               .fp8_products = settings_.fp8_products};
  const CompressSizes sizes = ingest_sizes(compress_);
  warn_past_window(sizes.capacity - (wants_bos ? 0 : 1));
  JobPlan plan = plan_compress(shape, *engine_.device, settings_.heads, compress_, sizes);
  // The store has an account of its own; a chunk's rows are copied there.
  const EmbeddingLayout layout{int64_t(settings_.heads.size()), shape.head_dim};
  plan.host[MemoryCategory::kStore] = planned_store_bytes(1, 0) + sizes.call_tokens * layout.row_bytes();
  if (!engine_.device->is_host()) plan.host[MemoryCategory::kCheckpoint] = plan.device[MemoryCategory::kKvCache];
  TRY(engine_.make_room(plan, compress_use(settings_.heads), "a smaller --chunk-tokens or --cache-tokens needs less",
                        cancel_));
  TRY_ASSIGN(kernels_, engine_.make_kernels(compress_limits(shape, *engine_.device, sizes, compress_.fp8_products)));
  TRY_ASSIGN(compressor_, Compressor::create(*engine_.model, *engine_.device, *kernels_.ops, engine_.account,
                                             settings_.heads, compress_, sizes));
  return {};
}

std::string IngestJob::sources_json() const {
  std::vector<SourceFile> all = sources_before_;
  const std::vector<SourceFile>& now = pump_->reader().files();
  all.insert(all.end(), now.begin(), now.end());
  return to_json(all);
}

void IngestJob::report(const char* phase, double chunk_tokens_done) {
  if (!progress_ || (since_report_.elapsed_ms() < kReportEveryMs && chunk_tokens_done > 0)) return;
  since_report_.lap_ms();
  IngestProgress p;
  p.phase = phase;
  p.tokens_done = n_done_ + int64_t(chunk_tokens_done);
  p.tokens_saved = n_saved_;
  p.host_bytes = engine_.account.current_total_bytes() + store_.account.current_total_bytes();
  const SourceReader& reader = pump_->reader();
  if (pump_->ended()) {
    p.tokens_total = n_done_ + pump_->waiting();
  } else if (reader.total_bytes() >= 0) {
    const double left_bytes = double(reader.total_bytes() - reader.bytes_read());
    p.tokens_total = n_done_ + pump_->waiting() + int64_t(std::max(0.0, left_bytes) * pump_->tokens_per_byte());
  }
  const double seconds = since_start_.elapsed_ms() / 1000;
  p.tokens_per_s = seconds > 0 ? (double(n_run_) + chunk_tokens_done) / seconds : 0;
  if (p.tokens_total > 0 && p.tokens_per_s > 0) p.eta_s = double(p.tokens_total - p.tokens_done) / p.tokens_per_s;
  progress_(p);
}

Result<IngestResult> IngestJob::run_to_end(IngestResult::Outcome outcome) {
  since_start_.lap_ms();
  since_checkpoint_.lap_ms();
  if (n_done_ > 0 && compress_.policy->carry == Carry::kNothing) {
    TRY_ASSIGN(const Tokens before,
               writer_->read_tokens(std::max<int64_t>(0, n_done_ - compress_.overlap_tokens), n_done_));
    overlap_ = before.ids;
  }
  if (const Status done = run_chunks(); !done.ok()) {
    (void)write_pending().ok();
    return explain_stop(done);
  }
  return result(outcome);
}

Status IngestJob::run_chunks() {
  for (;;) {
    Stopwatch watch;
    TRY(pump_->fill(compress_.chunk_tokens));
    tokenise_ms_ += watch.lap_ms();
    if (pump_->waiting() == 0) return finish();
    TRY(run_chunk());
  }
}

// Where the user, or a disk or store that is full, has stopped it: what is saved.
Status IngestJob::explain_stop(const Status& why) const {
  const std::string saved =
      n_saved_ == 0 ? "nothing is saved yet, the same command begins again"
                    : fmt::format("{} tokens are saved of {} read so far, the same command goes on from there",
                                  n_saved_, writer_->meta().n_tokens);
  if (why.code == Code::kCancelled) return {why.code, "stopped; " + saved};
  if (why.code == Code::kNoSpace) return {why.code, fmt::format("{}; {} once there is room", why.message, saved)};
  return why;
}

// Before the work is done. Where there is no room for it, what was done before is saved: the room for that was kept.
Status IngestJob::make_room(int64_t n_tokens) {
  const int64_t row_bytes = compressor_->layout().row_bytes();
  const int64_t checkpoint_bytes = compressor_->most_parts_bytes(n_done_ + n_tokens);
  const bool saved_twice =
      compress_.policy->carry == Carry::kNothing;  // at the end, the question's in place of another
  const auto make = [&](int64_t n_chunks, int64_t n_chunks_tokens) {
    Status made = writer_->make_room(n_chunks_tokens * (row_bytes + kSpanBytes) + n_chunks * kStateBytes,
                                     checkpoint_bytes * (saved_twice ? 2 : 1));
    note_evictions();
    return made;
  };
  Status room = pending_ ? make(2, int64_t(pending_->ids.size()) + n_tokens) : make(1, n_tokens);
  if (room.code == Code::kNoSpace && pending_) {  // it has room of its own, claimed before it was run
    TRY(write_pending());
    room = make(1, n_tokens);
  }
  if (room.code == Code::kNoSpace && n_done_ > n_saved_ && !append_base_) (void)save_checkpoint(n_done_).ok();
  return room;
}

void IngestJob::note_evictions() {
  auto evictions = take_evictions(*store_.contexts, engine_.log);
  evicted_.insert(evicted_.end(), evictions.begin(), evictions.end());
}

PendingChunk IngestJob::next_chunk(int64_t n_tokens) {
  const std::span<const int32_t> ids = pump_->ids(n_tokens);
  const std::span<const uint32_t> byte_lengths = pump_->byte_lengths(n_tokens);
  state_.committed_hash = pump_->hash_with(n_tokens);
  return {.begin_token = n_done_,
          .ids = {ids.begin(), ids.end()},
          .byte_lengths = {byte_lengths.begin(), byte_lengths.end()},
          .sources = sources_json(),
          .progress = to_json(state_),
          .rows = {}};
}

Status IngestJob::run_chunk() {
  const int64_t n = std::min(compress_.chunk_tokens, pump_->waiting());
  // The last state that no continuation of the text could change is kept, so that an append can start from it.
  if (!append_base_ && pump_->ended() && (n < compress_.chunk_tokens || pump_->unstable(n))) TRY(save_append_base());

  TRY(make_room(n));
  Stopwatch watch;
  report("compress", 0);
  PendingChunk chunk = next_chunk(n);
  const auto progress = [&](double done) {
    if (done < 1) report("compress", done * double(n));  // the end is the next report's to tell
  };
  TRY_ASSIGN(chunk.rows, compressor_->run_chunk(overlap_, chunk.ids, progress, cancel_));
  compress_ms_ += watch.lap_ms();

  overlap_.insert(overlap_.end(), chunk.ids.begin(), chunk.ids.end());
  if (int64_t(overlap_.size()) > compress_.overlap_tokens) {
    overlap_.erase(overlap_.begin(), overlap_.end() - ptrdiff_t(compress_.overlap_tokens));
  }
  pump_->take(n);
  n_done_ += n;
  n_run_ += n;
  // While a device with memory of its own computes this chunk, the one before is written; and the next one's text read.
  TRY(write_pending());
  pending_ = std::move(chunk);
  if (engine_.device->is_host()) TRY(write_pending());
  if (append_base_ || since_checkpoint_.elapsed_ms() <= options_.checkpoint_seconds * 1000) return {};
  TRY(write_pending());
  watch.lap_ms();
  TRY(save_checkpoint(n_done_));
  store_ms_ += watch.lap_ms();
  return {};
}

// Tried once: where it fails, the job ends.
Status IngestJob::write_pending() {
  if (!pending_) return {};
  const PendingChunk chunk = *std::exchange(pending_, std::nullopt);
  Stopwatch watch;
  TRY(compressor_->wait_for(chunk.rows));
  compress_ms_ += watch.lap_ms();
  const Status written = writer_->commit_chunk({.begin_token = chunk.begin_token,
                                                .token_ids = chunk.ids,
                                                .byte_lengths = chunk.byte_lengths,
                                                .parts = {{kEmbeddingRows.name, chunk.rows.bytes}},
                                                .sources = chunk.sources,
                                                .progress = chunk.progress});
  store_ms_ += watch.lap_ms();
  return written;
}

Status IngestJob::save_append_base() {
  if (n_done_ > n_saved_) TRY(save_checkpoint(n_done_));
  append_base_ = n_done_;
  state_.can_append = true;
  state_.append = pump_->append_start(n_done_, state_.part.source_begin_byte + pump_->reader().bytes_read());
  return {};
}

Status IngestJob::save_checkpoint(int64_t n_tokens) {
  TRY(write_pending());
  TRY_ASSIGN(const std::vector<CachePart> cache_parts, compressor_->parts());
  std::vector<NamedBytes> parts;
  parts.reserve(cache_parts.size());
  for (const CachePart& p : cache_parts) parts.push_back({p.name, p.bytes});
  std::vector<int64_t> keep = {n_tokens};
  if (append_base_) keep.push_back(*append_base_);
  TRY(writer_->save_checkpoint(n_tokens, parts, keep));
  n_saved_ = n_tokens;
  since_checkpoint_.lap_ms();
  return {};
}

Status IngestJob::load_checkpoint(int64_t n_tokens) {
  compressor_->reset();
  if (n_tokens == 0) return {};
  int64_t n_parts = 0;
  TRY(writer_->load_checkpoint(n_tokens, [&](const std::string& part, std::span<const std::byte> bytes) {
    return compressor_->load_part(n_parts++, part, bytes);
  }));
  return compressor_->finish_load(n_parts);
}

Status IngestJob::finish() {
  TRY(write_pending());
  Stopwatch watch;
  report("finish", 0);
  if (!append_base_) TRY(save_append_base());
  if (compress_.policy->carry == Carry::kNothing) {
    TRY_ASSIGN(const Tokens tail, writer_->read_tokens(std::max<int64_t>(0, n_done_ - kQuestionTailTokens), n_done_));
    TRY(compressor_->run_tail(tail.ids, cancel_));
    compress_ms_ += watch.lap_ms();
  }
  if (n_saved_ < n_done_ || compress_.policy->carry == Carry::kNothing) TRY(save_checkpoint(n_done_));
  state_.read.push_back({pump_->reader().bytes_read(), pump_->reader().hash()});
  TRY(writer_->finish(sources_json(), to_json(state_)));
  store_ms_ += watch.lap_ms();
  return {};
}

Result<IngestResult> IngestJob::result(IngestResult::Outcome outcome) {
  writer_.reset();
  if (which_ == Which::kReplacement) (void)store_.contexts->remove_replaced();  // else the next to open the store does
  IngestResult r;
  TRY_ASSIGN(const ContextEntry entry, store_.contexts->find(name_));
  r.context = describe(entry);
  r.outcome = outcome;
  r.tokens_run = n_run_;
  r.evicted = std::move(evicted_);
  r.timings.prompt_n = n_run_;
  r.timings.prompt_ms = compress_ms_;
  r.timings.phases_ms = {
      {"tokenise_ms", tokenise_ms_}, {"compress_ms", compress_ms_}, {"store_ms", store_ms_}, {"heads_ms", heads_ms_}};
  r.timings.total_ms = tokenise_ms_ + compress_ms_ + store_ms_ + heads_ms_;
  r.memory = memory_report(engine_, &store_.account);
  return r;
}

}  // namespace reform
