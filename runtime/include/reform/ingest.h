// ingest: reads a text once and leaves a context in the store (phase 1, compress; arXiv 2506.01215 section 3).
//
// Memory does not grow with the text. What was saved survives a crash. The same call with the same sources continues
// from there, with the settings the context was begun with.
#pragma once

#include <reform/cancel.h>
#include <reform/engine.h>
#include <reform/store.h>

#include <functional>
#include <istream>
#include <set>
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
  std::string policy = "h2o";  // what one chunk passes to the next: a name of list_policies()
  // How deep the model reads: fast (less than a third of its layers), balanced, deep, or paper (the heads for the
  // paper's own score). "": balanced, or paper if the model's heads have no other.
  std::string depth = "";
  // Tokens run at a time, in [64, 65536], and tokens in each layer's cache after eviction, at least 64 (every policy
  // but none). A chunk's positions follow the cache's, so the two together should fit the window that the model was
  // trained on. 0: 4,096, or less if that window is short.
  int64_t chunk_tokens = 0;
  int64_t cache_tokens = 0;
  int64_t sink_tokens = 4;  // first tokens that are never evicted (policies with sinks)
  // Tokens before a chunk that are run again (none), at most a chunk. Unless chosen, the usual number is cut to a
  // chunk.
  static constexpr int64_t kUsualOverlapTokens = 256;
  int64_t overlap_tokens = kUsualOverlapTokens;
  // Every layer runs, and the context keeps the compressed cache of each, for the method carry of ask(). Reading takes
  // longer, and the checkpoints are as much larger as there are more layers.
  bool full_depth = false;
  // The keys and values of every layer are kept for all tokens, as INT8, for the methods pages and pages-recompute of
  // ask(). Implies full_depth. On the CPU only.
  bool pages = false;
  bool lossy = false;  // invalid bytes are read as U+FFFD instead of failing with kBadText
  // The text's encoding (reform/text.h). Offsets stay those of the original bytes. "": that of the context, which for a
  // new one is UTF-8. A call that names another than the context's is refused (kUsage).
  std::string encoding = "";
  // What to do if the name exists with other text. kRefuse: kExists. kAppend: add the text at the end. kReplace: the
  // old context goes on answering until the new one is finished and takes its place in that instant; a replacement that
  // was begun with the same text and options is continued.
  enum class OnExisting { kRefuse, kAppend, kReplace } on_existing = OnExisting::kRefuse;
  // The names of those above ("policy", "chunk_tokens", …) that the caller chose and did not leave at their defaults.
  // If the context was begun with another value, it keeps that, and a warning names both.
  std::set<std::string> chosen = {};
  // Changes speed, not results.
  double checkpoint_seconds = 30;  // how often progress is saved

  REFORM_API bool overlap_is_open() const;  // neither chosen nor another than the usual one
  REFORM_API Status validate() const;
};

// One text: a file, or a stream.
struct IngestSource {
  std::string path;  // with `stream`, the name that sources show
  std::istream* stream = nullptr;
  bool seen = false;  // the caller has seen text in the file: it is not opened before it is read
};

struct IngestProgress {
  int64_t tokens_done = 0;   // also moves within a chunk
  int64_t tokens_saved = 0;  // a restart does not recompute these
  int64_t tokens_total = 0;  // estimated from bytes until the end has been read; 0: unknown
  double tokens_per_s = 0;
  double eta_s = -1;       // < 0: unknown
  int64_t host_bytes = 0;  // accounted memory now
  std::string phase;       // "heads", "compress", "finish"; "save": before it stops it saves what it has read
};

struct IngestResult {
  ContextInfo context;
  enum class Outcome { kIngested, kResumed, kUnchanged, kAppended, kReplaced } outcome = Outcome::kIngested;
  int64_t tokens_run = 0;  // by this call, with those that an append runs again; 0 if unchanged
  Timings timings;
  MemoryReport memory;
  std::vector<Eviction> evicted;  // contexts removed to make room for it
};

using IngestProgressCallback = std::function<void(const IngestProgress&)>;  // at least once a second while it runs

// Errors beside those of files: kBadText: the text is empty or not UTF-8. kExists: the context has other text. kBusy:
// another process is writing it. kWrongModel: it was begun with another model or other heads. kNoSpace and kCancelled:
// progress was saved, and the same call continues.
REFORM_API Result<IngestResult> ingest(Engine& engine, Store& store, const std::string& name,
                                       const std::vector<IngestSource>& sources, const IngestOptions& options,
                                       const IngestProgressCallback& progress = {},
                                       const CancelToken* cancel = nullptr);

}  // namespace reform
