// One call of ingest(): opens or begins the context, then chunk after chunk from text to store. Private to runtime/.
#pragma once

#include <reform/ingest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/stopwatch.h"
#include "runtime/compress/compress.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/jobs/settings.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/text/progress_state.h"
#include "runtime/text/token_pump.h"

namespace reform {

// What goes into the store of a chunk that has been run, as it was then.
struct PendingChunk {
  int64_t begin_token = 0;
  std::vector<int32_t> ids;
  std::vector<uint32_t> byte_lengths;
  std::string sources, progress;
  RowsForHost rows;  // the compressor's
};

class IngestJob {
 public:
  IngestJob(Engine::Impl& engine, Store::Impl& store, const std::string& name, const std::vector<IngestSource>& sources,
            const IngestOptions& options, const IngestProgressCallback& progress, const CancelToken* cancel)
      : engine_(engine),
        store_(store),
        name_(name),
        sources_(sources),
        options_(options),
        progress_(progress),
        cancel_(cancel) {}

  Result<IngestResult> run();

 private:
  // Which of these the call is.
  Result<IngestResult> begin_new(IngestResult::Outcome outcome);
  Result<IngestResult> meet_existing(const ContextEntry& entry);
  Result<IngestResult> replace(const ContextEntry& current);
  Result<std::optional<IngestResult>> go_on_replacing(const ContextEntry& begun, Which which);
  Result<bool> begun_alike(const ContextEntry& entry);
  Result<IngestResult> append(const ContextEntry& entry);
  Result<IngestResult> resume();
  Result<bool> skip_committed(int64_t start, int64_t n_committed);
  bool reads_stream() const;
  Status check_may_drop_append() const;
  void warn_past_window(int64_t n_positions) const;

  Status use_settings(const ContextEntry& entry);
  Status open_sources(const PartStart& part);
  Status check_products() const;
  Status make_compressor();
  Result<bool> same_text(const ProgressState& state);
  Result<IngestResult> run_to_end(IngestResult::Outcome outcome);
  Status run_chunks();
  Status run_chunk();
  PendingChunk next_chunk(int64_t n_tokens);
  Status write_pending();
  Status make_room(int64_t n_tokens);
  void note_evictions();
  Status explain_stop(const Status& why) const;
  Status save_append_base();
  Status save_checkpoint(int64_t n_tokens);
  Status load_checkpoint(int64_t n_tokens);
  Status finish();
  Result<IngestResult> result(IngestResult::Outcome outcome);
  std::string sources_json() const;
  void report(const char* phase, double chunk_tokens_done);

  Engine::Impl& engine_;
  Store::Impl& store_;
  const std::string& name_;
  const std::vector<IngestSource>& sources_;
  IngestOptions options_;
  const IngestProgressCallback& progress_;
  const CancelToken* cancel_;
  Which which_ = Which::kCurrent;  // what is written

  ContextSettings settings_;
  ProgressState state_;
  CompressOptions compress_;
  Session<Compressor> compressor_;
  std::unique_ptr<TokenPump> pump_;
  std::unique_ptr<ContextWriter> writer_;
  std::vector<SourceFile> sources_before_;  // of earlier calls
  std::vector<int32_t> overlap_;            // the last tokens before the next chunk
  std::optional<int64_t> append_base_;      // n_tokens of the checkpoint an append would start from
  // The last chunk run, unwritten while a device with memory of its own computes it, and the text for the next is read.
  std::optional<PendingChunk> pending_;
  std::vector<Eviction> evicted_;
  int64_t n_done_ = 0, n_saved_ = 0, n_run_ = 0;  // n_done_: of the context, what is pending too
  double tokenise_ms_ = 0, compress_ms_ = 0, store_ms_ = 0, heads_ms_ = 0;
  Stopwatch since_checkpoint_, since_start_, since_report_;
};

}  // namespace reform
