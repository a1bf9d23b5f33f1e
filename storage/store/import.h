// Makes a context from an archive. Until it is whole it is in trash/, where a sweep removes a half-made one.
#pragma once

#include <reform/status.h>

#include <memory>
#include <string>

#include "storage/archive/archive.h"
#include "storage/archive/format.h"
#include "storage/context/stored_context.h"
#include "storage/disk/file_lock.h"
#include "storage/limits/space.h"
#include "storage/store/context_store.h"
#include "storage/store/directory.h"

namespace reform {

// Shows `admit` what the archive holds, and takes the name and settings that it leaves.
Status admit_archive(archive::Manifest& manifest, const EditMeta& admit);

// An archive whose beginning was read.
struct OpenArchive {
  archive::Reader& in;
  const archive::Manifest& manifest;
  const ContextStore::CheckContext& check;
};

// Makes context `id` in trash/ from the rest of the archive, checked, finished and on the disk. `lock` is the context's
// exclusive lock. It is returned still held, for the move to contexts/.
Result<FileLock> make_imported(const StoreDirectory& dir, const DatabaseShare& share, const std::string& id,
                               FileLock lock, std::shared_ptr<SpaceClaim> claim, const OpenArchive& archive,
                               const ContextProgressFn& progress);

// Removes what make_imported() left. `lock`: the lock, if it is still held.
void drop_imported(const StoreDirectory& dir, const std::string& id, FileLock lock);

}  // namespace reform
