// A context to an archive and back, streamed: memory stays at a few blocks, whatever the length of the text.
#pragma once

#include <reform/status.h>

#include <functional>
#include <span>
#include <string>

#include "storage/context/context.h"
#include "storage/format/byte_stream.h"
#include "storage/format/schema.h"

namespace reform {

class StoredContext;
namespace archive {
struct Manifest;
class Reader;
}  // namespace archive

// The texts that an archive holds instead of the context's own: without what means something on this machine only.
struct ArchiveTexts {
  std::string settings, sources;
};

struct ArchiveSummary {
  int64_t bytes = 0;
  std::string digest;  // XXH3-128 over all of it but its end, 32 hexadecimal digits
};

// Sees what an archive holds before anything is written, and may change name and settings. A Status that is not ok
// refuses the archive.
using AdmitArchive = std::function<Status(ContextMeta& meta)>;

// About how many bytes an archive of `manifest` has, for progress. The token spans are estimated; values of kWhole,
// whose sizes nobody knows beforehand, count nothing.
int64_t estimated_archive_bytes(const archive::Manifest& manifest);

// Writes a complete context. `texts` stand in the archive instead of the context's own.
Result<ArchiveSummary> write_archive(StoredContext& context, const ArchiveTexts& texts, const ByteSink& sink,
                                     const ContextProgressFn& progress);

// The archive's beginning: everything but blocks and checkpoints.
Result<archive::Manifest> read_archive_manifest(archive::Reader& in);

// A value of a context as the store keeps it. The payload lives during the call.
using ValueSink =
    std::function<Status(schema::Family family, schema::Kind kind, uint64_t block, std::span<const std::byte> payload)>;
// The rest of the archive, to its end: each value, checked by itself, goes to `put`; ok says that they fit together and
// that the archive as a whole is what was written. Checkpoints have the generations 1, 2, …
Status read_archive_values(archive::Reader& in, const archive::Manifest& manifest, const ValueSink& put);

// Fills `context`, which is empty and seen by nobody yet. What was read is on the disk when this returns, and becomes
// the context's state when a writer finishes it.
Status restore_archive(archive::Reader& in, const archive::Manifest& manifest, StoredContext& context,
                       const ContextProgressFn& progress);

}  // namespace reform
