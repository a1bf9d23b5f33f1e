// Streams a context to an archive and back. Memory stays at a few blocks, however long the text.
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

struct ArchiveSummary {
  int64_t bytes = 0;
  std::string digest;      // XXH3-128 over all of it but the end section, 32 hexadecimal digits
  bool unchanged = false;  // an import: the context was there already, with the same bytes
};

// Sees what an archive holds, or is to hold, before anything is written. An import takes the name and the settings that
// it leaves, an export the name, the settings and the sources; other changes are ignored. If its Status is not ok,
// nothing is written. May be empty.
using EditMeta = std::function<Status(ContextMeta& meta)>;

// About how many bytes the archive of `manifest` has, for progress. Token spans are estimated. Values of kWhole count
// nothing, as nobody knows their sizes beforehand.
int64_t estimated_archive_bytes(const archive::Manifest& manifest);

// Writes a complete context. The archive holds name, settings and sources of `shown` in place of the context's own.
Result<ArchiveSummary> write_archive(StoredContext& context, const ContextMeta& shown, const ByteSink& sink,
                                     const ContextProgressFn& progress);

// Reads the archive's beginning: everything before blocks and checkpoints.
Result<archive::Manifest> read_archive_manifest(archive::Reader& in);

// Takes a value of a context as the store keeps it. The payload lives during the call.
using ValueSink =
    std::function<Status(schema::Family family, schema::Kind kind, uint64_t block, std::span<const std::byte> payload)>;
// Reads the rest of the archive to its end. Each value is checked by itself and goes to `put`. ok: the values fit
// together, and the archive as a whole is what was written. Checkpoints have the generations 1, 2, …
Status read_archive_values(archive::Reader& in, const archive::Manifest& manifest, const ValueSink& put);

// Fills `context`, which must be empty and not yet visible to others. On return all that was read is on the disk. It
// becomes the context's state when a writer finishes it.
Status restore_archive(archive::Reader& in, const archive::Manifest& manifest, StoredContext& context,
                       const ContextProgressFn& progress);

}  // namespace reform
