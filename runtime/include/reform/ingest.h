// ingest: reads a text once and leaves a context in the store (phase 1, compress; arXiv 2506.01215 section 3).
//
// Memory does not grow with the text. What was saved survives a crash; calling again with the same sources goes on
// from there with the settings the context was begun with.
#pragma once

#include <reform/cancel.h>
#include <reform/engine.h>
#include <reform/store.h>

#include <functional>
#include <istream>
#include <string>
#include <vector>

namespace reform {

// What a chunk can hand to the next.
struct PolicyInfo {
  std::string name, summary;
};
REFORM_API std::vector<PolicyInfo> list_policies();

struct IngestOptions {
  // Changes results; fixed when the context is begun.
  std::string policy = "h2o";  // a name of list_policies()
  // Tokens run at a time, [64, 65536], and of the compressed cache per layer after eviction (every policy but none). A
  // chunk follows the cache, so together they are to fit the window that the model was trained on. 0: 4,096, less
  // where that window is short.
  int64_t chunk_tokens = 0;
  int64_t cache_tokens = 0;
  int64_t sink_tokens = 4;       // first tokens never evicted (every policy but none)
  int64_t overlap_tokens = 256;  // tokens before a chunk that are run again (none)
  bool lossy = false;            // invalid UTF-8 reads as U+FFFD instead of an error
  // What to do when the name exists with other text. kReplace: the context stays as it is until the new one is finished
  // and takes its place in that instant; begun with the same text and options before, that is gone on with.
  enum class OnExisting { kRefuse, kAppend, kReplace } on_existing = OnExisting::kRefuse;
  // Changes speed, not results.
  double checkpoint_seconds = 30;

  REFORM_API Status validate() const;
};

// One source: a file by path, or a stream (its name is shown in sources).
struct IngestSource {
  std::string path;  // or the shown name when `stream` is set
  std::istream* stream = nullptr;
};

struct IngestProgress {
  int64_t tokens_done = 0;   // moves within a chunk
  int64_t tokens_saved = 0;  // a restart does not recompute these
  int64_t tokens_total = 0;  // estimated from the bytes until the end is read; 0: unknown
  double tokens_per_s = 0;
  double eta_s = -1;       // < 0: unknown
  int64_t host_bytes = 0;  // accounted memory now
  std::string phase;       // "heads", "compress", "finish"
};

struct IngestResult {
  ContextInfo context;
  enum class Outcome { kIngested, kResumed, kUnchanged, kAppended, kReplaced } outcome = Outcome::kIngested;
  int64_t tokens_run = 0;  // of this call; 0 when unchanged
  Timings timings;
  MemoryReport memory;
  std::vector<Eviction> evicted;  // contexts that went to make room for it
};

using IngestProgressCallback = std::function<void(const IngestProgress&)>;  // at least once a second while it runs

REFORM_API Result<IngestResult> ingest(Engine& engine, Store& store, const std::string& name,
                                       const std::vector<IngestSource>& sources, const IngestOptions& options,
                                       const IngestProgressCallback& progress = {},
                                       const CancelToken* cancel = nullptr);

}  // namespace reform
