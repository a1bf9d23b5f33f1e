// Checks the contexts of a store, writes them to archives, and makes contexts from archives.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/try.h"
#include "storage/context/verify.h"
#include "storage/format/context_name.h"
#include "storage/store/impl.h"
#include "storage/store/import.h"

namespace reform {

Status DirectoryStore::verify_one(const NamedContext& context, const ContextProgressFn& progress,
                                  ContextVerdict& verdict) {
  verdict.meta.id = context.id;
  verdict.meta.name = context.name;
  verdict.replacement = context.role == NamedContext::Role::kReplacement;
  auto lock = lock_context(context.id, context.name, FileLock::Mode::kShared, {});
  if (lock.status().code == Code::kBusy) {
    verdict.busy = lock.status();
    return {};
  }
  if (lock.status().code == Code::kIo) {  // this context's lock is no reason to leave the others unchecked
    add_damage(verdict, {Code::kIo, fmt::format("context \"{}\": {}", context.name, lock.status().message)});
    return {};
  }
  TRY(lock);
  auto opened = open_context(context.id, std::move(lock).value(), Database::Mode::kRead);
  if (opened.ok()) {
    verdict.meta = opened.value().meta();
    return verify_context(opened.value(), progress, verdict);
  }
  const Code code = opened.status().code;
  if (code != Code::kCorrupt && code != Code::kIo && code != Code::kNotFound) return opened.status();
  return verify_unopened(dir_.disk(), dir_.context_dir(context.id), {context.id, context.name}, opened.status(),
                         verdict);
}

Result<std::vector<ContextVerdict>> DirectoryStore::verify(const std::vector<std::string>& names,
                                                           const ContextProgressFn& progress) {
  std::vector<NamedContext> chosen;
  for (const std::string& name : names) {
    TRY_ASSIGN(chosen.emplace_back(), find_named(name, Which::kCurrent));
    if (auto replacement = find_named(name, Which::kReplacement); replacement.ok())
      chosen.push_back(std::move(replacement).value());
  }
  if (names.empty()) {
    TRY_ASSIGN(chosen, named_contexts(load_catalogue(dir_.disk(), dir_.path())));
    std::erase_if(chosen, [](const NamedContext& c) { return c.role == NamedContext::Role::kReplaced; });
  }
  std::sort(chosen.begin(), chosen.end(), [](const NamedContext& a, const NamedContext& b) {
    return std::tie(a.name, a.role, a.id) < std::tie(b.name, b.role, b.id);
  });
  std::vector<ContextVerdict> verdicts;
  for (const NamedContext& context : chosen) {
    ContextVerdict verdict;
    const Status done = verify_one(context, progress, verdict);
    if (done.code == Code::kNotFound && names.empty()) continue;  // removed since the names were read
    TRY(done);
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

Result<ArchiveSummary> DirectoryStore::export_context(const std::string& name, const EditMeta& edit,
                                                      const ByteSink& sink, const ContextProgressFn& progress) {
  TRY_ASSIGN(const NamedContext found, find_named(name, Which::kCurrent));
  TRY_ASSIGN(auto lock, lock_context(found.id, name, FileLock::Mode::kShared, {}));
  TRY_ASSIGN(auto context, open_context(found.id, std::move(lock), Database::Mode::kRead));
  if (!context.meta().complete) {
    return Status{Code::kBusy, fmt::format("context \"{}\" is not finished: run its ingest to its end first", name)};
  }
  ContextMeta shown = context.meta();
  if (edit) TRY(edit(shown));
  return write_archive(context, shown, sink, progress);
}

// An archive that was read to its end, and whose name was taken. kExists unless the context of that name gives the same
// archive, or cannot be read; kBusy while it is being written.
Result<ArchiveSummary> DirectoryStore::compare_archive(const archive::Reader& in, const std::string& name,
                                                       const EditMeta& shown, const ContextProgressFn& progress) {
  const auto there = export_context(
      name, shown, [](auto) { return Status{}; }, progress);
  if (there.ok() && there.value().digest == in.digest()) return ArchiveSummary{in.bytes(), in.digest(), true};
  // What cannot be read is not another context. An unfinished one is.
  const Code code = there.status().code;
  if (!there.ok() && code != Code::kBusy && code != Code::kNotFound) return there.status();
  TRY(check_free(name, Which::kCurrent));
  return Status{Code::kBusy, fmt::format("context \"{}\" has just been removed; run this again", name)};
}

Result<ArchiveSummary> DirectoryStore::import_context(const ByteSource& source, const EditMeta& admit,
                                                      const ContextProgressFn& progress, const EditMeta& shown,
                                                      const CheckContext& check) {
  archive::Reader in(source, *share_.account);
  TRY_ASSIGN(archive::Manifest manifest, read_archive_manifest(in));
  const std::string archived_name = manifest.identity.name;
  TRY(admit_archive(manifest, admit));
  const std::string& name = manifest.identity.name;
  const auto as_archived = [&](ContextMeta& meta) -> Status {
    if (shown) TRY(shown(meta));
    meta.name = archived_name;
    return {};
  };
  if (check_free(name, Which::kCurrent).status().code == Code::kExists) {
    const int64_t total_bytes = estimated_archive_bytes(manifest);
    TRY(read_archive_values(in, manifest, [&](auto...) {
      return progress ? progress(name, std::min(in.bytes(), total_bytes), total_bytes) : Status{};
    }));
    return compare_archive(in, name, as_archived, progress);
  }
  TRY(check_context_name(name));
  TRY_ASSIGN(const std::string id, StoreDirectory::new_id());
  FileLock lock;
  {
    TRY_ASSIGN(const auto names, dir_.lock_names());
    TRY(check_free(name, Which::kCurrent));
    TRY_ASSIGN(lock, FileLock::acquire(dir_.lock_path(id), FileLock::Mode::kExclusive, kPatience));
  }
  const auto make = [&]() -> Status {
    TRY_ASSIGN(lock, make_imported(dir_, share_, id, std::move(lock), space_->open_claim(id), {in, manifest, check},
                                   progress));
    TRY_ASSIGN(const auto still_space, space_->hold_still());
    TRY_ASSIGN(const auto names, dir_.lock_names());
    TRY(check_free(name, Which::kCurrent));  // the name may have been taken meanwhile
    return dir_.move_in(id);
  };
  if (const Status made = make(); !made.ok()) {
    drop_imported(dir_, id, std::move(lock));
    if (made.code == Code::kExists) return compare_archive(in, name, as_archived, progress);
    return made;
  }
  return ArchiveSummary{in.bytes(), in.digest()};
}

}  // namespace reform
