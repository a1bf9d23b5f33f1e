// The writer of one context.
#pragma once

#include <span>
#include <string>

#include "storage/context/stored_context.h"

namespace reform {

class StoredWriter final : public WithReads<ContextWriter> {
 public:
  // `context` is open for writing. Removes what a writer that died has left of an unfinished checkpoint.
  static Result<std::unique_ptr<StoredWriter>> create(StoredContext context);

  Status commit_chunk(const ChunkWrite& chunk) override;
  Status save_checkpoint(int64_t n_tokens, std::span<const NamedBytes> parts, std::span<const int64_t> keep) override;
  Status truncate(int64_t n_tokens, const std::string& sources, const std::string& progress) override;
  Status finish(const std::string& sources, const std::string& progress, std::span<const int64_t> dropped) override;
  Status claim_room(const Growth& growth) override;

  FileLock release_lock() {
    return context_.release_lock();
  }  // closes the database and keeps the lock; nothing else may follow

 private:
  explicit StoredWriter(StoredContext context) : WithReads(std::move(context)) {}
  // Runs one operation. After a failed one nothing more is written, because what is on disk is then unknown. Opening
  // the context again finds the last whole state.
  template <class Operation>
  Status run(const Operation& operation) {
    if (!failed_.ok()) return failed_;
    return failed_ = operation();
  }
  // Claims room for what an operation writes, before it begins.
  Status ensure(const Growth& growth) { return failed_.ok() ? context_.claim()->ensure(growth) : failed_; }
  Status refuse(const std::string& why) const;            // a caller's mistake; changes nothing
  using Parts = std::vector<std::span<const std::byte>>;  // one per kind of the context; the token spans' is empty
  Result<Parts> parts_of(const ChunkWrite& chunk) const;
  Status reserve_memtables(const Parts& parts);
  void put_values(rocksdb::WriteBatch& batch, const ContextKind& held, const ChunkWrite& chunk,
                  std::span<const std::byte> part);
  Status write_chunk(const ChunkWrite& chunk, const Parts& parts);
  Status write_state(rocksdb::WriteBatch& batch, ContextState state, Database::Durability durability);
  Status note_saved();
  Status sweep();
  Result<int64_t> source_bytes_of(int64_t n_tokens) const;

  Status failed_;
  Reservation large_memtables_;
  int64_t memtable_bytes_ = 0;  // of large_memtables_
};

}  // namespace reform
