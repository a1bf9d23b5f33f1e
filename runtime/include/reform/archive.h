// export and import: a finished context as one portable file.
//
// The file holds everything that asking and appending need: text as token ids, index, caches, settings. It holds
// nothing of the machine it was made on: no dates, no ids, and of paths only the texts' file names. Equal contexts give
// equal files. docs/FORMAT.md describes the file.
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

using ArchiveSink = std::function<Status(const char* bytes, size_t n)>;              // takes all n bytes, or fails
using ArchiveSource = std::function<Result<size_t>(char* buffer, size_t capacity)>;  // bytes read; 0 only at the end

struct ExportTarget {
  std::string path;        // a file; it appears whole or not at all
  bool overwrite = false;  // replaces the file if it exists
  ArchiveSink sink;        // if set, used instead of a file
};

struct ImportOrigin {
  std::string path;      // a file or pipe; with `source`, only the name that messages use
  ArchiveSource source;  // if set, used instead of a file
};

struct ImportOptions {
  std::string name;  // of the context here; "": the name it had
  // The context's model on this machine. Its fingerprint is checked, and later asks find the model there. "": unknown;
  // then the caller opens the engine with the right model before asking.
  std::string model_path;
  std::string cache_dir;  // for fingerprints; "" is $XDG_CACHE_HOME/reform
  LogCallback log = {};   // gets a line for each context that is evicted because the store is full
};

struct ArchiveResult {
  ContextInfo context;
  int64_t archive_bytes = 0;
  std::string xxh3_128;                // of the archive without its last section, which holds this; 32 hex digits
  std::vector<Eviction> evicted = {};  // contexts removed to make room for an import
  bool unchanged = false;              // an import: the name has this very context already, so nothing was written
};

// kBusy: the context is being written or is not finished. kExists: the file exists.
REFORM_API Result<ArchiveResult> export_context(Store& store, const std::string& name, const ExportTarget& to,
                                                const BytesProgressCallback& progress = {},
                                                const CancelToken* cancel = nullptr);

// The context appears once the whole archive has been read and checked; on failure nothing stays. kCorrupt: the file is
// damaged, and the message says how. kExists: the name is taken. kWrongModel: the model at model_path is another one.
// kNoSpace: the disk or the store is full.
REFORM_API Result<ArchiveResult> import_context(Store& store, const ImportOrigin& from, const ImportOptions& options,
                                                const BytesProgressCallback& progress = {},
                                                const CancelToken* cancel = nullptr);

}  // namespace reform
