// export and import: a finished context as one portable file.
//
// The file holds everything that asking and appending need (text as token ids, index, caches, settings) and nothing of
// the machine it was made on: no dates, ids, or paths but the texts' file names. Equal contexts give equal files.
#pragma once

#include <reform/cancel.h>
#include <reform/log.h>
#include <reform/store.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace reform {

using ArchiveSink = std::function<Status(const char* bytes, size_t n)>;              // takes all of them, or fails
using ArchiveSource = std::function<Result<size_t>(char* buffer, size_t capacity)>;  // 0 at the end only

struct ExportTarget {
  std::string path;        // a file, which appears whole or not at all
  bool overwrite = false;  // if there is one already
  ArchiveSink sink;        // instead of a file
};

struct ImportOrigin {
  std::string path;      // a file or pipe; with `source`, the name that messages use
  ArchiveSource source;  // instead of a file
};

struct ImportOptions {
  std::string name;  // "": the one the context had
  // Where the context's model is on this machine: checked against its fingerprint, and found there from then on. "":
  // not known, so that whoever asks the context must say it.
  std::string model_path;
  std::string cache_dir;  // of fingerprints; "" is $XDG_CACHE_HOME/reform
  LogCallback log = {};   // told of contexts that go because the store is full
};

struct ArchiveProgress {
  int64_t done_bytes = 0, total_bytes = 0;  // the total is estimated
};
using ArchiveProgressCallback = std::function<void(const ArchiveProgress&)>;

struct ArchiveResult {
  ContextInfo context;
  int64_t archive_bytes = 0;
  std::string xxh3_128;                // of the archive but for its last section, which holds it; 32 hex digits
  std::vector<Eviction> evicted = {};  // contexts that went to make room for an import
};

// kBusy if the context is being written or not finished; kExists if the file is there.
REFORM_API Result<ArchiveResult> export_context(Store& store, const std::string& name, const ExportTarget& to,
                                                const ArchiveProgressCallback& progress = {},
                                                const CancelToken* cancel = nullptr);

// The context appears once all of the archive has been read and checked; otherwise nothing stays. kCorrupt says what is
// wrong with the file; kExists that the name is taken; kWrongModel that the model is another one; kNoSpace that the
// disk or the store is full.
REFORM_API Result<ArchiveResult> import_context(Store& store, const ImportOrigin& from, const ImportOptions& options,
                                                const ArchiveProgressCallback& progress = {},
                                                const CancelToken* cancel = nullptr);

}  // namespace reform
