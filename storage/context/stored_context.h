// An open context: its lock, its database, its records, and all reads of it. Reader and writer are both built on it.
#pragma once

#include <reform/status.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "storage/context/context.h"
#include "storage/context/database.h"
#include "storage/context/manifest.h"
#include "storage/disk/file_lock.h"
#include "storage/disk/ledger.h"
#include "storage/limits/space.h"

namespace reform {

class StoredContext {
 public:
  // The caller already holds `lock` on the context in the right mode. A writer also has a claim on space.
  static Result<StoredContext> open(const std::string& dir, FileLock lock, Database::Mode mode,
                                    const DatabaseShare& share, std::shared_ptr<SpaceClaim> claim = nullptr);

  const ContextMeta& meta() const { return meta_; }
  const std::string& dir() const { return dir_; }
  const Ledger& ledger() const { return ledger_; }
  Status set_ledger(Ledger ledger);  // first on disk, then here
  const std::vector<ContextKind>& kinds() const { return kinds_; }
  const Identity& identity() const { return identity_; }
  const ContextState& state() const { return state_; }
  Database& db() { return *db_; }
  int64_t bytes_read() const { return db_->bytes_read(); }
  void set_state(ContextState state);           // after it has been written
  FileLock release_lock();                      // closes the database and keeps the lock; nothing else may follow
  SpaceClaim* claim() { return claim_.get(); }  // the writer's

  Result<std::vector<Tokens>> read_tokens(std::span<const TokenRange> ranges) const;
  using ValueFn = std::function<Status(TokenRange tokens, std::span<const std::byte> bytes)>;
  Status scan(const ChunkKind& kind, const ValueFn& fn) const;
  Status read_values(const ChunkKind& kind, std::span<const TokenRange> ranges, const ValueFn& fn) const;
  std::vector<int64_t> checkpoints() const;
  Status load_checkpoint(int64_t n_tokens,
                         const std::function<Status(const std::string&, std::span<const std::byte>)>& fn) const;

 private:
  StoredContext() = default;
  Status corrupt(const std::string& what) const;
  Result<ContextKind> held(const ChunkKind& kind) const;  // kNotFound
  // Copies the part of `range` that lies in `block` into `tokens`.
  Status copy_tokens(TokenRange block, std::span<const std::byte> payload, const TokenRange& range,
                     Tokens& tokens) const;

  std::string dir_;
  FileLock lock_;  // released last, after the database is closed
  std::shared_ptr<SpaceClaim> claim_;
  std::unique_ptr<Database> db_;
  Ledger ledger_;
  Identity identity_;
  std::vector<ContextKind> kinds_;
  ContextState state_;
  ContextMeta meta_;
};

// ContextData's reads over a StoredContext, for a reader (Base = ContextData) and a writer (ContextWriter).
template <class Base>
class WithReads : public Base {
 public:
  explicit WithReads(StoredContext context) : context_(std::move(context)) {}

  const ContextMeta& meta() const override { return context_.meta(); }
  Result<std::vector<Tokens>> read_token_ranges(std::span<const TokenRange> ranges) override {
    return context_.read_tokens(ranges);
  }
  Status scan(const ChunkKind& kind, const StoredContext::ValueFn& fn) override { return context_.scan(kind, fn); }
  Status read_values(const ChunkKind& kind, std::span<const TokenRange> ranges,
                     const StoredContext::ValueFn& fn) override {
    return context_.read_values(kind, ranges, fn);
  }
  Result<std::vector<int64_t>> checkpoints() override { return context_.checkpoints(); }
  Status load_checkpoint(
      int64_t n_tokens, const std::function<Status(const std::string& name, std::span<const std::byte>)>& fn) override {
    return context_.load_checkpoint(n_tokens, fn);
  }
  int64_t bytes_read() const override { return context_.bytes_read(); }

 protected:
  StoredContext context_;
};

// Creates a new, empty context: the database in `dir` with its first records, and its ledger. Both are closed again.
// `replaces`: as in the ledger.
Status create_stored_context(const std::string& dir, const Identity& identity, const std::string& replaces,
                             const DatabaseShare& share);

}  // namespace reform
