// Carries out an ingest: chunk after chunk, from a text into its context. What to do was decided before (ingest.cc).
// Private to runtime/.
#pragma once

#include <reform/ingest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/stopwatch.h"
#include "runtime/compress/compress.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/jobs/ingest_room.h"
#include "runtime/jobs/settings.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/text/progress_state.h"
#include "runtime/text/token_pump.h"

namespace reform {

// One call of ingest(): its arguments, and what it has done so far.
struct IngestCall {
  Engine::Impl& engine;
  Store::Impl& store;
  const std::string& name;
  const std::vector<IngestSource>& sources;
  const IngestOptions options;  // with all sizes chosen
  const IngestProgressCallback& progress;
  const CancelToken* cancel;

  std::vector<Eviction> evicted;
  int64_t n_run = 0;
  double tokenise_ms = 0, compress_ms = 0, store_ms = 0, heads_ms = 0;

  void note_evictions();
};

// A context about to be written, and the text for it.
struct IngestTarget {
  Which which = Which::kCurrent;
  ContextSettings settings;
  std::optional<ContextMeta> stored;  // the context as it was looked at, without a lock; nothing: it is not made yet
  int64_t start = 0;                  // tokens the context keeps; the pump's next token follows them
  int64_t n_total = kUnknownTokens;   // tokens of the context once the text is read
  ProgressState state;
  std::vector<SourceFile> sources_before;  // of earlier calls
  int64_t reading_bytes = 0;               // of host memory, for all that reading the text takes
  Reservation reading;
  std::unique_ptr<TokenPump> pump;

  GrowingSources sources;  // of earlier calls and this one, as JSON

  std::string sources_json() { return sources.json(sources_before, pump->reader().files()); }
};

// A context is looked at without a lock, and may have changed before it is written. kBusy if it is not as it was then.
Status check_unchanged(const ContextMeta& then, const ContextMeta& now);
Status changed_meanwhile(const std::string& name);
// The same for what the store says then: that it is there (kExists) or not (kNotFound).
Status meanwhile(const Status& status, const std::string& name);

class IngestJob {
 public:
  IngestJob(IngestCall& call, IngestTarget target)
      : call_(call),
        engine_(call.engine),
        name_(call.name),
        cancel_(call.cancel),
        target_(std::move(target)),
        settings_(target_.settings),
        n_done_(target_.start),
        n_saved_(target_.start) {}
  IngestJob(IngestJob&&) = delete;

  // Runs to the end of the text and closes the context. The compressor stays, so that a memory report counts it.
  Status run();

 private:
  // A chunk that has been run, with the sources and progress of that moment. Move it, never copy it: `write` points
  // into its vectors.
  struct PendingChunk {
    std::vector<int32_t> ids;
    std::vector<uint32_t> byte_lengths;
    ChunkWrite write;  // points into the two above
    RowsForHost rows;  // the compressor's
  };

  Status check_products() const;
  void warn_past_window(int64_t n_before) const;  // n_before: tokens before the text, BOS
  Status make_compressor();
  Status open_compressor(const CompressOptions& options);
  Status say_what_fits(const Status& why);
  Status open_context();
  Status open_writer();
  Status run_chunks();
  Status run_chunk();
  PendingChunk next_chunk(int64_t n_tokens);
  IngestPlace place(int64_t n_next);
  Status claim(const IngestPlace& place);
  Status claim_room(int64_t n_tokens);
  Status check_states(const PendingChunk& chunk);
  void save_what_is_read();
  Status write_pending();
  Status check_files() const;
  Status save_checkpoint(bool with_cache);
  Status save_in_between();
  Status restore_cache();
  Status rerun_chunk();
  Status load_checkpoint();
  Status save_append_start();
  Status finish();
  Status explain_stop(const Status& why) const;
  void report(const char* phase, double chunk_tokens_done);

  IngestCall& call_;
  Engine::Impl& engine_;
  const std::string& name_;
  const CancelToken* cancel_;
  IngestTarget target_;
  const ContextSettings& settings_;  // of target_
  CompressOptions compress_;
  Session<Compressor> compressor_;
  std::optional<IngestRoom> room_;
  std::unique_ptr<ContextWriter> writer_;
  std::vector<int32_t> overlap_;        // the last tokens before the next chunk
  std::optional<int64_t> append_base_;  // n_tokens of the checkpoint an append would start from
  int64_t n_done_, n_saved_;            // tokens of the context; n_done_ includes the pending chunk's
  // The last chunk run. A device with memory of its own may still be computing it while the next one's text is read.
  std::optional<PendingChunk> pending_;
  Stopwatch since_start_, since_checkpoint_, since_report_;
};

}  // namespace reform
