#include <fmt/format.h>
#include <reform/ingest.h>

#include <algorithm>

#include "base/try.h"
#include "runtime/jobs/ingest_job.h"
#include "storage/format/context_name.h"

namespace reform {
namespace {

constexpr int64_t kUsualTokens = 4096;  // of a chunk, and of a layer's cache

// The sizes that were left open. Phase 1's positions are slots: the cache's, then the chunk's.
IngestOptions with_sizes(IngestOptions options, const Engine::Impl& engine) {
  const Tokenizer& tokenizer = *engine.tokenizer;
  const bool has_bos = tokenizer.add_bos() && tokenizer.bos() >= 0;
  const int64_t slots = engine.model->shape().trained_window_tokens - (has_bos ? 1 : 0);
  const auto fitting = [](int64_t n) { return std::clamp<int64_t>(n / 64 * 64, 64, kUsualTokens); };
  int64_t& chunk = options.chunk_tokens;
  int64_t& cache = options.cache_tokens;
  if (find_policy(options.policy)->carry == Carry::kNothing) {
    if (cache == 0) cache = kUsualTokens;  // there is none
    if (chunk == 0) chunk = fitting(slots - options.overlap_tokens);
  }
  if (cache == 0) cache = fitting(chunk == 0 ? slots / 2 : slots - chunk);
  if (chunk == 0) chunk = fitting(slots - cache);
  return options;
}

}  // namespace

Result<IngestResult> ingest(Engine& engine, Store& store, const std::string& name,
                            const std::vector<IngestSource>& sources, const IngestOptions& options,
                            const IngestProgressCallback& progress, const CancelToken* cancel) {
  TRY(options.validate());
  TRY(check_context_name(name));
  if (sources.empty()) return Status{Code::kUsage, "no text to ingest: name at least one file"};
  TRY_ASSIGN(const auto turn, engine.impl().turns.take(cancel));
  remark_disk(engine.impl(), store.impl());
  const IngestOptions sized = with_sizes(options, engine.impl());
  TRY(sized.validate());
  return IngestJob(engine.impl(), store.impl(), name, sources, sized, progress, cancel).run();
}

Result<IngestResult> IngestJob::run() {
  const Status kept = store_.contexts->keep_limit(name_);
  note_evictions();
  TRY(kept);
  auto entry = store_.contexts->find(name_);
  if (entry.ok()) return meet_existing(entry.value());
  if (entry.status().code != Code::kNotFound) return entry.status();
  return begin_new(IngestResult::Outcome::kIngested);
}

Result<IngestResult> IngestJob::meet_existing(const ContextEntry& entry) {
  if (entry.busy) return store_.contexts->open_writer(name_).status();  // says who holds it
  if (options_.on_existing == IngestOptions::OnExisting::kReplace) return replace(entry);
  TRY(entry.state);
  TRY(use_settings(entry));
  TRY_ASSIGN(state_, parse_progress(entry.meta.progress, name_));
  if (!entry.meta.complete) return resume();
  if (options_.on_existing == IngestOptions::OnExisting::kAppend) return append(entry);
  TRY_ASSIGN(const bool same, same_text(state_));
  if (same) {
    n_done_ = n_saved_ = entry.meta.n_tokens;
    return result(IngestResult::Outcome::kUnchanged);
  }
  const bool replacing = store_.contexts->find(name_, Which::kReplacement).ok();
  return Status{Code::kExists,
                fmt::format("context '{}' exists with other text; --append adds to it, --replace {}, or choose another "
                            "name",
                            name_, replacing ? "goes on with its unfinished replacement" : "begins anew")};
}

// The new context is made beside the current one, which stays until the new one is finished. What an earlier call has
// begun with the same text and settings is gone on with.
Result<IngestResult> IngestJob::replace(const ContextEntry& current) {
  const auto begun = store_.contexts->find(name_, Which::kReplacement);
  if (begun.ok()) {
    if (begun.value().busy) return store_.contexts->open_writer(name_, Which::kReplacement).status();
    TRY_ASSIGN(auto done, go_on_replacing(begun.value(), Which::kReplacement));
    if (done) return std::move(*done);
    TRY(store_.contexts->remove(name_, Which::kReplacement));
  } else if (current.state.ok() && !current.meta.complete) {
    TRY_ASSIGN(auto done, go_on_replacing(current, Which::kCurrent));
    if (done) return std::move(*done);
  }
  which_ = Which::kReplacement;
  return begin_new(IngestResult::Outcome::kReplaced);
}

// Whether a source can be read only once.
bool IngestJob::reads_stream() const {
  return std::any_of(sources_.begin(), sources_.end(), [](const IngestSource& s) { return s.stream != nullptr; });
}

// Nothing if that is of other text or settings, or damaged.
Result<std::optional<IngestResult>> IngestJob::go_on_replacing(const ContextEntry& begun, Which which) {
  if (!begun.state.ok()) return std::optional<IngestResult>();
  TRY_ASSIGN(const bool alike, begun_alike(begun));
  if (!alike) return std::optional<IngestResult>();
  IngestJob job(engine_, store_, name_, sources_, options_, progress_, cancel_);  // of its own: it may come to nothing
  job.which_ = which;
  job.evicted_ = evicted_;
  TRY(job.use_settings(begun));
  auto done = job.resume();
  if (done.ok()) return std::optional(std::move(done).value());
  const Code code = done.status().code;
  if (code != Code::kExists && code != Code::kCorrupt) return done.status();
  if (!reads_stream()) return std::optional<IngestResult>();
  job.writer_.reset();
  if (which == Which::kReplacement) TRY(store_.contexts->remove(name_, which));
  return Status{Code::kExists, fmt::format("an unfinished context '{}' had begun with other text{}; the standard input "
                                           "that was compared with it must be fed again",
                                           name_, which == Which::kReplacement ? " and is dropped now" : "")};
}

Result<bool> IngestJob::begun_alike(const ContextEntry& entry) {
  auto settings = parse_settings(entry.meta.settings, name_);
  if (!settings.ok()) return false;
  const ContextSettings& s = settings.value();
  if (!engine_.options.heads_file.empty()) {
    TRY_ASSIGN(const Heads heads, engine_.resolve_heads(progress_, cancel_));
    if (heads != s.heads) return false;
  }
  return s.model_fingerprint == engine_.info.fingerprint && s.kv_type == engine_.kv_type_name() &&
         s.fp8_products == engine_.fp8_products() && s.policy == options_.policy &&
         s.chunk_tokens == options_.chunk_tokens && s.cache_tokens == options_.cache_tokens &&
         s.sink_tokens == options_.sink_tokens && s.overlap_tokens == options_.overlap_tokens &&
         s.lossy == options_.lossy;
}

// The finished calls' texts, one after the other, against these sources.
Result<bool> IngestJob::same_text(const ProgressState& state) {
  TRY_ASSIGN(auto reader, SourceReader::open(sources_, 0, /*lossy=*/true, cancel_));
  std::string_view block;
  for (const SourceHash& part : state.read) {
    RunningHash hash;
    for (int64_t left = part.bytes; left > 0;) {
      if (block.empty()) {
        TRY_ASSIGN(block, reader->next());
        if (block.empty()) return false;
      }
      const std::string_view piece = block.substr(0, size_t(std::min<int64_t>(left, int64_t(block.size()))));
      hash.add(piece.data(), piece.size());
      left -= int64_t(piece.size());
      block.remove_prefix(piece.size());
    }
    if (hash.hex() != part.xxh3_128) return false;
  }
  if (!block.empty()) return false;
  TRY_ASSIGN(block, reader->next());
  return block.empty();
}

Result<IngestResult> IngestJob::begin_new(IngestResult::Outcome outcome) {
  Stopwatch watch;
  TRY(open_sources({}));
  TRY(pump_->fill(1));
  if (pump_->waiting() == 0) return Status{Code::kBadText, fmt::format("{}: the text is empty", sources_[0].path)};
  tokenise_ms_ += watch.lap_ms();
  settings_ = {.model_fingerprint = engine_.info.fingerprint,
               .model_name = engine_.info.name,
               .model_path = engine_.info.path,
               .architecture = engine_.info.architecture,
               .policy = options_.policy,
               .chunk_tokens = options_.chunk_tokens,
               .cache_tokens = options_.cache_tokens,
               .sink_tokens = options_.sink_tokens,
               .overlap_tokens = options_.overlap_tokens,
               .lossy = options_.lossy,
               .heads = {},
               .head_dim = engine_.model->shape().head_dim,
               .kv_type = engine_.kv_type_name(),
               .fp8_products = engine_.fp8_products()};
  TRY_ASSIGN(settings_.heads, engine_.resolve_heads(progress_, cancel_));
  heads_ms_ = watch.lap_ms();
  TRY(make_compressor());
  const int64_t row_bytes = compressor_->layout().row_bytes();
  TRY_ASSIGN(writer_, store_.contexts->create(name_, int32_t(row_bytes), to_json(settings_), which_));
  auto done = run_to_end(outcome);
  if (!done.ok() && writer_ && writer_->meta().n_tokens == 0) {  // nothing was read: leave nothing behind
    writer_.reset();
    (void)store_.contexts->remove(name_, which_);
  }
  return done;
}

Result<IngestResult> IngestJob::append(const ContextEntry& entry) {
  if (!state_.can_append)
    return Status{Code::kCorrupt, fmt::format("context '{}' does not say where an append starts", name_)};
  const PartStart part = state_.append;
  TRY_ASSIGN(sources_before_, parse_sources(entry.meta.sources, name_));
  TRY(open_sources(part));
  TRY(pump_->fill(pump_->waiting() + 1));
  if (pump_->reader().bytes_read() == 0)
    return Status{Code::kBadText, fmt::format("{}: the text is empty", sources_[0].path)};
  TRY(make_compressor());
  TRY_ASSIGN(writer_, store_.contexts->open_writer(name_));
  // Until now nobody kept another from writing: reading the text may have taken a while.
  const ContextMeta& now = writer_->meta();
  if (now.id != entry.meta.id || now.progress != entry.meta.progress || now.sources != entry.meta.sources) {
    return Status{Code::kBusy,
                  fmt::format("context '{}' was changed by another process meanwhile; run this again", name_)};
  }
  TRY(load_checkpoint(part.begin_tokens));
  state_.part = part;
  state_.can_append = false;
  state_.append = {};
  state_.committed_hash = pump_->hash();
  TRY(writer_->truncate(part.begin_tokens, sources_json(), to_json(state_)));
  n_done_ = n_saved_ = part.begin_tokens;
  return run_to_end(IngestResult::Outcome::kAppended);
}

Result<IngestResult> IngestJob::resume() {
  TRY_ASSIGN(writer_, store_.contexts->open_writer(name_, which_));
  TRY_ASSIGN(state_, parse_progress(writer_->meta().progress, name_));
  if (writer_->meta().complete && !state_.read.empty()) state_.read.pop_back();  // stopped between that and taking over
  const int64_t n_committed = writer_->meta().n_tokens;
  TRY_ASSIGN(const std::vector<int64_t> checkpoints, writer_->checkpoints());
  // The newest chunk boundary saved; none beyond where the text's end began to show.
  int64_t start = state_.part.begin_tokens;
  for (const int64_t n : checkpoints) {
    const bool usable =
        n % settings_.chunk_tokens == 0 && n <= n_committed && (!state_.can_append || n <= state_.append.begin_tokens);
    if (usable) start = std::max(start, n);
  }
  TRY_ASSIGN(sources_before_, parse_sources(writer_->meta().sources, name_));
  std::erase_if(sources_before_, [&](const SourceFile& f) { return f.begin_byte >= state_.part.source_begin_byte; });
  TRY(open_sources(state_.part));

  Stopwatch watch;
  TRY_ASSIGN(const bool same, skip_committed(start, n_committed));
  IngestResult::Outcome outcome = IngestResult::Outcome::kResumed;
  if (!same) {
    TRY(check_may_drop_append());
    TRY(open_sources(state_.part));
    start = state_.part.begin_tokens;
    outcome = IngestResult::Outcome::kAppended;
  }
  tokenise_ms_ += watch.lap_ms();

  TRY(make_compressor());
  TRY(load_checkpoint(start));
  state_.can_append = false;
  state_.append = {};
  state_.committed_hash = pump_->hash();
  TRY(writer_->truncate(start, sources_json(), to_json(state_)));
  n_done_ = n_saved_ = start;
  return run_to_end(outcome);
}

// Feeds the sources up to token `start`; whether what is committed there and beyond is theirs.
Result<bool> IngestJob::skip_committed(int64_t start, int64_t n_committed) {
  for (int64_t left = start - state_.part.begin_tokens; left > 0;) {
    TRY(pump_->fill(1));
    if (pump_->waiting() == 0) return false;
    const int64_t n = std::min(left, pump_->waiting());
    pump_->take(n);
    left -= n;
  }
  const int64_t beyond = n_committed - start;
  TRY(pump_->fill(beyond));
  if (pump_->waiting() < beyond) return false;
  return n_committed == state_.part.begin_tokens || pump_->hash_with(beyond) == state_.committed_hash;
}

// An unfinished append gives way to another one, begun from the text before both.
Status IngestJob::check_may_drop_append() const {
  const bool is_append = !sources_before_.empty();
  if (is_append && !reads_stream() && options_.on_existing == IngestOptions::OnExisting::kAppend) return {};
  return {Code::kExists,
          fmt::format("context '{}' was begun with other text and is not finished; feed it the same text, or {}", name_,
                      is_append ? "--append another file in its place" : "begin anew with --replace")};
}

}  // namespace reform
