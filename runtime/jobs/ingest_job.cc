// The part of an ingest that is the same however it began: text, tokens, chunks, rows, checkpoints.
#include "runtime/jobs/ingest_job.h"

#include <fmt/format.h>
#include <reform/ranges.h>
#include <reform/units.h>

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "runtime/compress/embedding.h"
#include "runtime/model/soundness.h"

namespace reform {
namespace {

constexpr double kReportEveryMs = 100;

}  // namespace

Status changed_meanwhile(const std::string& name) {
  return {Code::kBusy, fmt::format("context '{}' was changed by another process meanwhile; run this again", name)};
}

Status check_unchanged(const ContextMeta& then, const ContextMeta& now) {
  const bool same = now.id == then.id && now.n_tokens == then.n_tokens && now.progress == then.progress &&
                    now.sources == then.sources;
  return same ? Status{} : changed_meanwhile(then.name);
}

Status meanwhile(const Status& status, const std::string& name) {
  const bool changed = status.code == Code::kExists || status.code == Code::kNotFound;
  return changed ? changed_meanwhile(name) : status;
}

void IngestCall::note_evictions() {
  auto evictions = take_evictions(*store.contexts, engine.log);
  evicted.insert(evicted.end(), evictions.begin(), evictions.end());
}

// Positions in phase 1 are slots of its cache, so they can exceed the model's trained window even with a short text.
// Where nothing is carried there are two kinds of calls: chunks with their overlap, and what questions are asked after.
void IngestJob::warn_past_window(int64_t n_before) const {
  const int64_t window = engine_.model->shape().trained_window_tokens;
  const auto warn = [&](const std::string& line) { engine_.remark(LogLevel::kWarning, line); };
  const int64_t chunk = settings_.chunk_tokens, half = (window - 1) / 2;
  if (find_policy(settings_.policy)->carries()) {
    const int64_t n = n_before + settings_.cache_tokens + chunk;
    if (n <= window) return;
    warn(
        fmt::format("chunks of {} tokens over a cache of {} take {} positions, and the model was trained on {}: "
                    "passages will be found badly; --chunk-tokens {} --cache-tokens {} fits",
                    chunk, settings_.cache_tokens, n, window, half, half));
    return;
  }
  const int64_t overlap = settings_.overlap_tokens, n = n_before + overlap + chunk;
  if (n > window) {
    warn(
        fmt::format("chunks of {} tokens after an overlap of {} take {} positions, and the model was trained on {}: "
                    "passages will be found badly; --chunk-tokens {} --overlap-tokens {} fits",
                    chunk, overlap, n, window, window - 1 - std::min(overlap, half), std::min(overlap, half)));
  }
  if (kQuestionTailTokens <= window) return;
  warn(
      fmt::format("with the policy {} questions are asked after the text's last {} tokens, and the model was trained "
                  "on {}: in a longer text passages will be found badly; the other policies fit",
                  settings_.policy, kQuestionTailTokens, window));
}

// All rows of a context are compared with one another, so all must be made with the same kind of products.
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
  if (settings_.fp8_products && find_policy(settings_.policy)->carries()) {
    engine_.remark(
        LogLevel::kWarning,
        fmt::format("FP8 products can find fewer passages with the policy {}, as errors stay in its cache; with "
                    "none they do not (bench/results/quality.md)",
                    settings_.policy));
  }
  return {};
}

Status IngestJob::make_compressor() {
  TRY(check_products());
  const bool wants_bos = engine_.tokenizer->add_bos() && engine_.tokenizer->bos() >= 0;
  compress_ = compress_options(settings_, engine_.kv_type());
  compress_.bos = wants_bos ? engine_.tokenizer->bos() : -1;
  compress_.saves = true;
  warn_past_window(wants_bos ? 1 : 0);
  const Status made = open_compressor(compress_);
  const bool may_choose = !target_.stored && engine_.device->is_host();
  return made.code == Code::kMemoryCap && may_choose ? say_what_fits(made) : made;
}

Status IngestJob::open_compressor(const CompressOptions& options) {
  const ModelShape& shape = engine_.model->shape();
  const CompressSizes sizes = ingest_sizes(options);
  // The store has an account of its own; a chunk's rows are copied there.
  const EmbeddingLayout layout{int64_t(settings_.heads.size()), shape.head_dim};
  SessionNeeds needs{.limits = Compressor::limits(shape, *engine_.device, sizes, settings_.fp8_products),
                     .weights = Compressor::ingest_weights(shape, settings_.heads, options),
                     .beside = {},
                     .meanwhile = {},
                     .advice = "a smaller --chunk-tokens or --cache-tokens needs less"};
  needs.beside[MemoryCategory::kStore] = planned_store_bytes(1, 0) + sizes.call_tokens * layout.row_bytes() +
                                         planned_part_bytes(extra_kinds(settings_, shape), options.chunk_tokens);
  // Reserved, but mostly not touched yet: the plan compares it with what is left, like the rest.
  needs.beside[MemoryCategory::kTokens] = target_.reading_bytes;
  target_.reading = {};
  const auto make = [&](const Site& site) {
    return Compressor::create(*engine_.model, site, settings_.heads, options, sizes);
  };
  TRY_ASSIGN(compressor_, engine_.open_session<Compressor>(needs, make, cancel_));
  TRY_ASSIGN(target_.reading, Reservation::create(engine_.account, MemoryCategory::kTokens, target_.reading_bytes));
  since_start_.lap_ms();
  return {};
}

// Tries smaller chunks and caches.
Status IngestJob::say_what_fits(const Status& why) {
  CompressOptions options = compress_;
  std::string least = why.message;
  for (int64_t n = std::max(options.chunk_tokens, options.cache_tokens) / 2; n >= ranges::kChunkTokens.least; n /= 2) {
    options.chunk_tokens = std::min(options.chunk_tokens, n);
    options.cache_tokens = std::min(options.cache_tokens, n);
    options.overlap_tokens = std::min(options.overlap_tokens, n);
    options.sink_tokens = std::min(options.sink_tokens, n / 2);
    const Status fits = open_compressor(options);
    compressor_ = {};
    least = fits.message;
    if (fits.code == Code::kMemoryCap) continue;
    TRY(fits);
    return {why.code, fmt::format("{}: --chunk-tokens {} --cache-tokens {} would fit", why.message,
                                  options.chunk_tokens, options.cache_tokens)};
  }
  return {why.code,
          fmt::format("{}, but none is small enough: with --chunk-tokens {} --cache-tokens {} {}; a smaller "
                      "model is needed, or more memory",
                      why.message, options.chunk_tokens, options.cache_tokens, least.substr(0, least.find(" and ")))};
}

// Makes the context, or opens it, once the first chunk is read: then it is known how much room there must be.
Status IngestJob::open_writer() {
  Stopwatch watch;
  TRY(target_.pump->fill(compress_.chunk_tokens));
  call_.tokenise_ms += watch.lap_ms();
  const ExtraKinds kinds = extra_kinds(settings_, engine_.model->shape());
  const int64_t row_bytes = compressor_->layout().row_bytes();
  room_.emplace(settings_, kinds, row_bytes, [this](int64_t n) { return compressor_->most_parts_bytes(n); });
  const Growth first = room_->needed(place(std::min(compress_.chunk_tokens, target_.pump->waiting())));
  ContextStore& contexts = *call_.store.contexts;
  auto opened = target_.stored
                    ? contexts.open_writer(name_, target_.which, first)
                    : contexts.create(name_, int32_t(row_bytes), to_json(settings_), target_.which, kinds, first);
  call_.note_evictions();
  if (opened.status().code == Code::kNoSpace && target_.stored)
    return {Code::kNoSpace, fmt::format("{}; context '{}' stays as it was", opened.status().message, name_)};
  TRY(meanwhile(opened.status(), name_));
  writer_ = std::move(opened).value();
  return target_.stored ? check_unchanged(*target_.stored, writer_->meta()) : Status{};
}

Status IngestJob::open_context() {
  TRY(make_compressor());
  TRY(open_writer());
  if (!target_.stored) return {};
  TRY(restore_cache());
  target_.state.can_append = false;
  target_.state.append = {};
  target_.state.committed_hash = target_.pump->hash();
  TRY(writer_->truncate(target_.start, target_.sources_json(), to_json(target_.state)));
  if (target_.start == 0 || compress_.policy->carries()) return {};
  TRY_ASSIGN(const Tokens before,
             writer_->read_tokens(std::max<int64_t>(0, target_.start - compress_.overlap_tokens), target_.start));
  overlap_ = before.ids;
  return {};
}

Status IngestJob::run() {
  if (const Status opened = open_context(); !opened.ok())
    return opened.code == Code::kCancelled ? explain_stop(opened) : opened;
  since_checkpoint_.lap_ms();
  Status done = run_chunks();
  if (!done.ok()) {
    (void)write_pending().ok();
    if (done.code == Code::kCancelled) save_what_is_read();
    done = explain_stop(done);
  }
  // Of a first text nothing can be gone on with before something is saved.
  const bool is_useless = n_saved_ == 0 && target_.state.part.source_begin_byte == 0;
  writer_.reset();
  if (!done.ok() && is_useless) (void)call_.store.contexts->remove(name_, target_.which);
  return done;
}

Status IngestJob::run_chunks() {
  for (;;) {
    Stopwatch watch;
    TRY(target_.pump->fill(compress_.chunk_tokens));
    call_.tokenise_ms += watch.lap_ms();
    if (target_.pump->waiting() == 0) return finish();
    TRY(run_chunk());
  }
}

// Says what is saved, for the user, who stopped the ingest or must make room.
Status IngestJob::explain_stop(const Status& why) const {
  const int64_t n_read = writer_ != nullptr ? writer_->meta().n_tokens : n_saved_;
  const std::string saved =
      n_saved_ == 0
          ? "nothing is saved yet, the same command begins again"
          : fmt::format("{} tokens are saved of {} read so far, the same command goes on from there", n_saved_, n_read);
  if (why.code == Code::kCancelled) return {why.code, "stopped; " + saved};
  if (why.code == Code::kNoSpace) return {why.code, fmt::format("{}; {} once there is room", why.message, saved)};
  return why;
}

IngestPlace IngestJob::place(int64_t n_next) {
  const TokenPump& pump = *target_.pump;
  return {.n_begin = target_.start,
          .n_done = n_done_,
          .n_pending = pending_ ? int64_t(pending_->ids.size()) : 0,
          .n_next = n_next,
          .n_total = pump.ended() ? n_done_ + pump.waiting() : target_.n_total,
          .n_saved = n_saved_,
          .state_bytes = int64_t(target_.sources_json().size())};
}

Status IngestJob::claim(const IngestPlace& place) {
  Status made = writer_->claim_room(room_->needed(place));
  call_.note_evictions();
  return made;
}

// Called before a chunk is run. If there is no room for it, the chunks before it are saved; room for them was claimed
// earlier.
Status IngestJob::claim_room(int64_t n_tokens) {
  Status room = claim(place(n_tokens));
  if (room.code == Code::kNoSpace && pending_) {
    TRY(write_pending());
    room = claim(place(n_tokens));
  }
  if (room.code == Code::kNoSpace) save_what_is_read();
  return room;
}

// Best effort, before the job stops. What is saved is the end of the last chunk, unless more text could change it.
void IngestJob::save_what_is_read() {
  const bool is_final = !append_base_ || n_done_ == *append_base_;
  if (n_done_ == n_saved_ || !is_final || !compressor_->undo_chunk()) return;
  report("save", 0);
  if (save_checkpoint(compress_.policy->carries()).ok()) report("save", 0);
}

IngestJob::PendingChunk IngestJob::next_chunk(int64_t n_tokens) {
  const TokenPump& pump = *target_.pump;
  const auto ids = pump.ids(n_tokens);
  const auto byte_lengths = pump.byte_lengths(n_tokens);
  target_.state.committed_hash = pump.hash_with(n_tokens);
  PendingChunk chunk{{ids.begin(), ids.end()}, {byte_lengths.begin(), byte_lengths.end()}, {}, {}};
  chunk.write = {n_done_, chunk.ids, chunk.byte_lengths, {}, target_.sources_json(), to_json(target_.state)};
  return chunk;
}

Status IngestJob::run_chunk() {
  TokenPump& pump = *target_.pump;
  const int64_t n = std::min(compress_.chunk_tokens, pump.waiting());
  // From here on, more text could have changed the tokens.
  if (!append_base_ && pump.ended() && (n < compress_.chunk_tokens || pump.unstable(n))) TRY(save_append_start());

  TRY(claim_room(n));
  Stopwatch watch;
  report("compress", 0);
  PendingChunk chunk = next_chunk(n);
  const auto progress = [&](double done) {
    if (done < 1) report("compress", done * double(n));  // the next report says that it is done
  };
  TRY_ASSIGN(chunk.rows, compressor_->run_chunk(overlap_, chunk.ids, progress, cancel_));
  call_.compress_ms += watch.lap_ms();

  overlap_.insert(overlap_.end(), chunk.ids.begin(), chunk.ids.end());
  if (int64_t(overlap_.size()) > compress_.overlap_tokens) {
    overlap_.erase(overlap_.begin(), overlap_.end() - ptrdiff_t(compress_.overlap_tokens));
  }
  pump.take(n);
  n_done_ += n;
  call_.n_run += n;
  // While a device with memory of its own computes this chunk, the host writes the chunk before and reads the next
  // one's text.
  TRY(write_pending());
  pending_ = std::move(chunk);
  if (!pending_->rows.under_way()) TRY(write_pending());
  if (append_base_ || since_checkpoint_.elapsed_ms() <= call_.options.checkpoint_seconds * 1000) return {};
  return save_in_between();
}

// A state that is not a number makes all after it the same, so a sound model has no chunk with half its rows empty.
Status IngestJob::check_states(const PendingChunk& chunk) {
  const EmbeddingLayout layout = compressor_->layout();
  const int64_t n_rows = int64_t(chunk.ids.size());
  int64_t n_empty = 0;
  for (int64_t r = 0; r < n_rows; ++r) {
    const std::byte* const scales = layout.scales(chunk.rows.bytes, r);
    n_empty += std::all_of(scales, scales + layout.n_heads * 4, [](std::byte b) { return b == std::byte{0}; });
  }
  return n_empty * 2 > n_rows ? states_not_numbers(-1) : Status{};
}

// Tried once: if it fails, the job ends.
Status IngestJob::write_pending() {
  if (!pending_) return {};
  PendingChunk chunk = *std::exchange(pending_, std::nullopt);
  Stopwatch watch;
  TRY(compressor_->wait_for(chunk.rows));
  call_.compress_ms += watch.lap_ms();
  TRY(check_states(chunk));
  chunk.write.parts = {{kEmbeddingRows.name, chunk.rows.bytes}};
  if (settings_.pages) {
    const auto [states, keys] = compressor_->pages();
    chunk.write.parts.insert(chunk.write.parts.end(), {{kPageStates.name, states}, {kPageKeys.name, keys}});
  }
  const Status written = writer_->commit_chunk(chunk.write);
  call_.store_ms += watch.lap_ms();
  return written;
}

// What was read and computed so far came from files that nobody has written to.
Status IngestJob::check_files() const {
  TRY(target_.pump->reader().check_unchanged());
  return engine_.gguf->check_unchanged();
}

// Where nothing is carried, there is no cache to save before the end.
Status IngestJob::save_checkpoint(bool with_cache) {
  TRY(check_files());
  TRY(write_pending());
  Stopwatch watch;
  std::vector<NamedBytes> parts;
  if (with_cache) {
    TRY_ASSIGN(parts, compressor_->parts());
  }
  std::vector<int64_t> keep = {n_done_};
  if (append_base_) keep.insert(keep.end(), {*append_base_, n_saved_});  // until finish(), a resume starts from them
  TRY(writer_->save_checkpoint(n_done_, parts, keep));
  n_saved_ = n_done_;
  since_checkpoint_.lap_ms();
  call_.store_ms += watch.lap_ms();
  return {};
}

// In case of a crash. It is left out where the store has no room for it beside the next chunk and the last checkpoint.
Status IngestJob::save_in_between() {
  const TokenPump& pump = *target_.pump;
  const bool with_cache = compress_.policy->carries();
  IngestPlace here = place(pump.ended() ? std::min(compress_.chunk_tokens, pump.waiting()) : compress_.chunk_tokens);
  here.one_more = with_cache;
  const Status room = claim(here);
  if (room.ok()) return save_checkpoint(with_cache);
  since_checkpoint_.lap_ms();
  return room.code == Code::kNoSpace ? Status{} : room;
}

// Makes the cache as it was at token target_.start: from the newest checkpoint up to there, and by running the stored
// tokens after it again.
Status IngestJob::restore_cache() {
  if (!compress_.policy->carries()) return {};
  TRY_ASSIGN(const std::vector<int64_t> checkpoints, writer_->checkpoints());
  n_saved_ = 0;
  for (const int64_t n : checkpoints) {
    if (n <= target_.start && n % compress_.chunk_tokens == 0) n_saved_ = std::max(n_saved_, n);
  }
  TRY(load_checkpoint());
  for (n_done_ = n_saved_; n_done_ < target_.start; n_done_ += compress_.chunk_tokens) TRY(rerun_chunk());
  return {};
}

Status IngestJob::rerun_chunk() {
  Stopwatch watch;
  report("compress", 0);
  const int64_t n = compress_.chunk_tokens;
  TRY_ASSIGN(const Tokens tokens, writer_->read_tokens(n_done_, n_done_ + n));
  const auto progress = [&](double done) { report("compress", done * double(n)); };
  TRY_ASSIGN(const RowsForHost rows, compressor_->run_chunk({}, tokens.ids, progress, cancel_));
  TRY(compressor_->wait_for(rows));
  call_.n_run += n;
  call_.compress_ms += watch.lap_ms();
  return {};
}

Status IngestJob::load_checkpoint() {
  if (n_saved_ == 0) return {};
  CacheLoader loader = compressor_->loader();
  TRY(writer_->load_checkpoint(n_saved_, [&](const std::string& part, std::span<const std::byte> bytes) {
    return loader.load_part(part, bytes);
  }));
  return loader.finish(/*may_be_empty=*/true);
}

// Notes the last state that no continuation of the text could change.
Status IngestJob::save_append_start() {
  append_base_ = n_done_;
  if (n_done_ > n_saved_ && keeps_append_start(settings_, *append_base_)) TRY(save_checkpoint(/*with_cache=*/true));
  ProgressState& state = target_.state;
  state.can_append = true;
  state.append =
      target_.pump->append_start(n_done_, state.part.source_begin_byte + target_.pump->reader().bytes_read());
  return {};
}

Status IngestJob::finish() {
  TRY(write_pending());
  report("finish", 0);
  if (!append_base_) TRY(save_append_start());
  const bool carries_nothing = !compress_.policy->carries();
  if (carries_nothing) {
    Stopwatch watch;
    TRY_ASSIGN(const Tokens tail, writer_->read_tokens(std::max<int64_t>(0, n_done_ - kQuestionTailTokens), n_done_));
    TRY(compressor_->run_tail(tail.ids, cancel_));
    call_.compress_ms += watch.lap_ms();
  }
  if (n_saved_ < n_done_ || carries_nothing) TRY(save_checkpoint(/*with_cache=*/true));
  Stopwatch watch;
  const SourceReader& reader = target_.pump->reader();
  TRY(check_files());
  target_.state.read.push_back({reader.bytes_read(), reader.hash()});
  TRY_ASSIGN(std::vector<int64_t> dropped, writer_->checkpoints());
  const bool keeps_base = keeps_append_start(settings_, *append_base_);
  std::erase_if(dropped, [&](int64_t n) { return n == n_done_ || (n == *append_base_ && keeps_base); });
  TRY(writer_->finish(target_.sources_json(), to_json(target_.state), dropped));
  call_.store_ms += watch.lap_ms();
  return {};
}

void IngestJob::report(const char* phase, double chunk_tokens_done) {
  if (!call_.progress || (since_report_.elapsed_ms() < kReportEveryMs && chunk_tokens_done > 0)) return;
  since_report_.lap_ms();
  IngestProgress p;
  p.phase = phase;
  p.tokens_done = n_done_ + int64_t(chunk_tokens_done);
  p.tokens_saved = n_saved_;
  p.host_bytes = engine_.account.current_total_bytes() + call_.store.account.current_total_bytes();
  const TokenPump& pump = *target_.pump;
  const SourceReader& reader = pump.reader();
  const int64_t n_read = std::max(n_done_, target_.start);
  if (pump.ended()) {
    p.tokens_total = n_read + pump.waiting();
  } else if (reader.total_bytes() >= 0) {
    const double left_bytes = double(reader.total_bytes() - reader.bytes_read());
    p.tokens_total = n_read + pump.waiting() + int64_t(std::max(0.0, left_bytes) * pump.tokens_per_byte());
  }
  const double seconds = since_start_.elapsed_ms() / 1000;
  p.tokens_per_s = seconds > 0 ? (double(call_.n_run) + chunk_tokens_done) / seconds : 0;
  if (p.tokens_total > 0 && p.tokens_per_s > 0) p.eta_s = double(p.tokens_total - p.tokens_done) / p.tokens_per_s;
  call_.progress(p);
}

}  // namespace reform
