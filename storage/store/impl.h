// The store's implementation, private to storage/store/context_store.cc (lookup, making, opening),
// storage/store/upkeep.cc (removal, and protection from it) and storage/store/archive.cc.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/context/database.h"
#include "storage/context/stored_context.h"
#include "storage/limits/space.h"
#include "storage/limits/use_record.h"
#include "storage/store/catalogue.h"
#include "storage/store/context_store.h"
#include "storage/store/directory.h"
#include "storage/store/reader_pool.h"

namespace reform {

// How long a writer waits for readers: a list() in another process holds a context for some milliseconds.
constexpr std::chrono::milliseconds kPatience{2000};
// How long a reader waits for the writer of a complete context to close it. That takes as long as the disk needs.
constexpr std::chrono::milliseconds kReaderPatience{10'000};

struct NamedContext {
  std::string id;
  std::string name;  // "" if it is not known any more: the context then answers to its id
  enum class Role { kCurrent, kReplacement, kReplaced } role = Role::kCurrent;
  std::string replaced;  // id of the context that it has replaced, if any
  std::string replaces;  // id of the context that it is to replace
  bool intact = false;   // its ledger can be read
  bool complete = false;
  Status unread;  // the system refused to read its ledger
};

class DirectoryStore final : public ContextStore {
 public:
  DirectoryStore(StoreDirectory dir, std::shared_ptr<Space> space, DatabaseShare share, Reservation cache_memory)
      : dir_(std::move(dir)),
        space_(std::move(space)),
        share_(std::move(share)),
        readers_(std::make_shared<ReaderPool>(dir_, share_)),
        cache_memory_(std::move(cache_memory)) {
    space_->set_evict([this](const Shortage& shortage) { return evict_for(shortage); });
  }
  ~DirectoryStore() override { space_->set_evict({}); }

  const Disk& disk() const override { return dir_.disk(); }
  Result<std::vector<ContextEntry>> list() override;
  Result<std::vector<ContextEntry>> find_all(std::span<const std::string> names, Which which) override;
  Result<std::unique_ptr<ContextWriter>> create(const std::string& name, int32_t row_bytes, const std::string& settings,
                                                Which which, const ExtraKinds& extra_kinds,
                                                const Growth& first) override;
  Result<std::unique_ptr<ContextWriter>> open_writer(const std::string& name, Which which,
                                                     const Growth& first) override;
  Result<std::vector<std::unique_ptr<ContextData>>> open_readers(std::span<const std::string> names,
                                                                 Which which) override;
  Result<std::vector<ContextVerdict>> verify(const std::vector<std::string>& names,
                                             const ContextProgressFn& progress) override;
  Result<ArchiveSummary> export_context(const std::string& name, const EditMeta& edit, const ByteSink& sink,
                                        const ContextProgressFn& progress) override;
  Result<ArchiveSummary> import_context(const ByteSource& source, const EditMeta& admit,
                                        const ContextProgressFn& progress, const EditMeta& shown,
                                        const CheckContext& check) override;
  Status remove(const std::string& name, Which which) override;
  Status remove_replaced() override { return remove_replaced(std::chrono::milliseconds{0}); }
  Result<StoreLimit> limit() override { return space_->limit(); }
  Status set_limit(const StoreLimit& limit) override { return space_->set_limit(limit); }
  int64_t used_bytes() override { return space_->used_bytes(); }
  Status check_limit(const std::string& name) override;
  std::vector<EvictedContext> take_evicted() override;
  Status set_pinned(const std::string& name, bool pinned) override;
  void note_asked(std::span<const std::string> names) override;

 private:
  Result<std::vector<ContextEntry>> try_find(std::span<const std::string> names, Which which);
  Result<std::vector<std::unique_ptr<ContextData>>> try_open_readers(std::span<const std::string> names, Which which,
                                                                     std::chrono::steady_clock::time_point deadline);
  Result<std::unique_ptr<ContextData>> open_reader_of(const NamedContext& context,
                                                      std::chrono::steady_clock::time_point deadline);
  Result<FileLock> lock_context(const std::string& id, const std::string& name, FileLock::Mode mode,
                                std::chrono::milliseconds patience);
  Result<StoredContext> open_context(const std::string& id, FileLock lock, Database::Mode mode,
                                     std::shared_ptr<SpaceClaim> claim = nullptr);
  Result<std::vector<NamedContext>> named_contexts(const Catalogue& catalogue) const;
  Result<NamedContext> find_named(const std::string& name, Which which) const;
  Result<NamedContext> find_in(const std::vector<NamedContext>& contexts, const std::string& name, Which which) const;
  Result<ArchiveSummary> compare_archive(const archive::Reader& in, const std::string& name, const EditMeta& shown,
                                         const ContextProgressFn& progress);
  Status verify_one(const NamedContext& context, const ContextProgressFn& progress, ContextVerdict& verdict);
  Status remove_context(const NamedContext& context, std::chrono::milliseconds patience);
  Status remove_replaced(std::chrono::milliseconds patience);
  ContextEntry examine(const NamedContext& context, Catalogue& catalogue, bool& changed);
  void fill_from_database(ContextEntry& entry, FileLock lock, Catalogue& catalogue);
  void keep_in_catalogue(const Catalogue& found);
  Result<std::string> check_free(const std::string& name, Which which) const;
  Status evict_for(const Shortage& shortage);
  Status change_use(const NamedContext& context, const std::function<Status(UseRecord&)>& change);

  const StoreDirectory dir_;
  const std::shared_ptr<Space> space_;
  const DatabaseShare share_;
  const std::shared_ptr<ReaderPool> readers_;
  Reservation cache_memory_;  // for share_.block_cache
  std::mutex evicted_mutex_;
  std::vector<EvictedContext> evicted_;
};

}  // namespace reform
