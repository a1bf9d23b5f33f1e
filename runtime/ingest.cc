#include <fmt/format.h>
#include <reform/ingest.h>

#include "base/try.h"
#include "runtime/ingest_job.h"

namespace reform {

Result<IngestResult> ingest(Engine& engine, Store& store, const std::string& name,
                            const std::vector<IngestSource>& sources, const IngestOptions& options,
                            IngestProgressCallback progress, const CancelToken* cancel) {
  TRY(options.validate());
  if (sources.empty()) return Status{Code::kUsage, "no text to ingest: name at least one file"};
  const std::lock_guard lock(engine.impl().running);
  return IngestJob(engine.impl(), store.impl(), name, sources, options, progress, cancel).run();
}

Result<IngestResult> IngestJob::run() {
  auto entry = store_.contexts->find(name_);
  if (entry.ok()) return meet_existing(entry.value());
  if (entry.status().code != Code::kNotFound) return entry.status();
  return begin_new(IngestResult::Outcome::kIngested);
}

Result<IngestResult> IngestJob::meet_existing(const ContextEntry& entry) {
  if (options_.on_existing == IngestOptions::OnExisting::kReplace) {
    TRY(store_.contexts->remove(name_));
    return begin_new(IngestResult::Outcome::kReplaced);
  }
  if (entry.busy) return store_.contexts->open_writer(name_).status();  // says who holds it
  TRY(entry.state);
  TRY(use_settings(entry));
  TRY_ASSIGN(state_, parse_progress(entry.meta.progress, name_));
  if (!entry.meta.complete) return resume(entry);
  if (options_.on_existing == IngestOptions::OnExisting::kAppend) return append(entry);
  TRY_ASSIGN(const bool same, same_text(state_));
  if (same) {
    n_done_ = n_saved_ = entry.meta.n_tokens;
    return result(IngestResult::Outcome::kUnchanged);
  }
  return Status{Code::kExists,
                fmt::format("context '{}' exists with other text; --append adds to it, --replace begins anew, "
                            "or choose another name",
                            name_)};
}

// The finished calls' texts, one after the other, against these sources.
Result<bool> IngestJob::same_text(const ProgressState& state) {
  TRY_ASSIGN(auto reader, SourceReader::open(sources_, 0, /*lossy=*/true));
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
  watch.lap_ms();
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
               .kv_type = engine_.kv_type() == KvView::Type::kF32 ? "f32" : "f16"};
  TRY_ASSIGN(settings_.heads, engine_.resolve_heads(progress_, cancel_));
  heads_ms_ = watch.lap_ms();
  TRY(make_compressor());
  const int64_t row_bytes = compressor_->layout().row_bytes();
  TRY_ASSIGN(writer_, store_.contexts->create(name_, int32_t(row_bytes), to_json(settings_)));
  auto done = run_to_end(outcome);
  if (!done.ok() && n_done_ == 0) {  // nothing was read: leave nothing behind
    writer_.reset();
    (void)store_.contexts->remove(name_);
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
  TRY(load_checkpoint(part.begin_tokens));
  state_.part = part;
  state_.can_append = false;
  state_.append = {};
  state_.committed_hash = pump_->hash();
  TRY(writer_->truncate(part.begin_tokens, sources_json(), to_json(state_)));
  n_done_ = n_saved_ = part.begin_tokens;
  return run_to_end(IngestResult::Outcome::kAppended);
}

Result<IngestResult> IngestJob::resume(const ContextEntry& entry) {
  TRY_ASSIGN(writer_, store_.contexts->open_writer(name_));
  const int64_t n_committed = writer_->meta().n_tokens;
  TRY_ASSIGN(state_, parse_progress(writer_->meta().progress, name_));
  TRY_ASSIGN(const std::vector<int64_t> checkpoints, writer_->checkpoints());
  // The newest chunk boundary saved; none beyond where the text's end began to show.
  int64_t start = state_.part.begin_tokens;
  for (const int64_t n : checkpoints) {
    const bool usable =
        n % settings_.chunk_tokens == 0 && n <= n_committed && (!state_.can_append || n <= state_.append.begin_tokens);
    if (usable) start = std::max(start, n);
  }
  TRY_ASSIGN(sources_before_, parse_sources(entry.meta.sources, name_));
  std::erase_if(sources_before_, [&](const SourceFile& f) { return f.begin_byte >= state_.part.source_begin_byte; });
  TRY(open_sources(state_.part));

  const Status other_text{
      Code::kExists,
      fmt::format("context '{}' was begun with other text and is not finished; feed it the same text, or "
                  "begin anew with --replace",
                  name_)};
  Stopwatch watch;
  for (int64_t left = start - state_.part.begin_tokens; left > 0;) {
    TRY(pump_->fill(1));
    if (pump_->waiting() == 0) return other_text;
    const int64_t n = std::min(left, pump_->waiting());
    pump_->take(n);
    left -= n;
  }
  const int64_t beyond = n_committed - start;
  TRY(pump_->fill(beyond));
  if (pump_->waiting() < beyond) return other_text;
  if (n_committed > state_.part.begin_tokens && pump_->hash_with(beyond) != state_.committed_hash) return other_text;
  tokenise_ms_ += watch.lap_ms();

  TRY(make_compressor());
  TRY(load_checkpoint(start));
  state_.can_append = false;
  state_.append = {};
  state_.committed_hash = pump_->hash();
  TRY(writer_->truncate(start, sources_json(), to_json(state_)));
  n_done_ = n_saved_ = start;
  return run_to_end(IngestResult::Outcome::kResumed);
}

}  // namespace reform
