#include "storage/store/import.h"

#include <chrono>

#include "base/try.h"
#include "storage/context/stored_writer.h"

namespace reform {

Status admit_archive(archive::Manifest& manifest, const EditMeta& admit) {
  ContextMeta meta = meta_of(manifest.identity, manifest.state);
  meta.complete = true;
  if (admit) TRY(admit(meta));
  manifest.identity.name = meta.name;
  manifest.identity.settings = meta.settings;
  return {};
}

Result<FileLock> make_imported(const StoreDirectory& dir, const DatabaseShare& share, const std::string& id,
                               FileLock lock, std::shared_ptr<SpaceClaim> claim, const OpenArchive& archive,
                               const ContextProgressFn& progress) {
  const archive::Manifest& manifest = archive.manifest;
  Identity identity = manifest.identity;
  identity.id = id;
  identity.created_unix_s = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  TRY(claim->plan_opening({.may_evict = false}));  // only at its end is an archive known to be whole
  TRY(create_stored_context(dir.trash_dir(id), identity, /*replaces=*/"", share));
  TRY_ASSIGN(StoredContext context,
             StoredContext::open(dir.trash_dir(id), std::move(lock), Database::Mode::kWrite, share, std::move(claim)));
  TRY(restore_archive(archive.in, manifest, context, progress));
  TRY_ASSIGN(const auto writer, StoredWriter::create(std::move(context)));
  TRY(writer->finish(manifest.state.sources, manifest.state.progress, /*dropped=*/{}));
  if (archive.check) TRY(archive.check(*writer));
  return writer->release_lock();
}

void drop_imported(const StoreDirectory& dir, const std::string& id, FileLock lock) {
  if (!lock.held()) {
    auto again = FileLock::acquire(dir.lock_path(id), FileLock::Mode::kExclusive);
    if (!again.ok()) return;  // a sweep is at work
    lock = std::move(again).value();
  }
  (void)dir.disk().remove_tree(dir.trash_dir(id)).ok();
  (void)lock.unlink_and_release().ok();
}

}  // namespace reform
