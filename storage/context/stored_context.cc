#include "storage/context/stored_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/try.h"
#include "storage/context/block_stream.h"
#include "storage/context/checkpoint.h"
#include "storage/context/state_record.h"
#include "storage/format/block_codec.h"
#include "storage/format/bytes.h"

namespace reform {
namespace {

using schema::Family;
using schema::Kind;

// Span blocks that are read together: 64 of 4,096 tokens are about 1 MiB.
constexpr size_t kSpanBatchBlocks = 64;
// The most that read_values() has read together, which is there twice: as much as a scan takes.
constexpr int64_t kFetchBytes = kStreamBytes / 2;

Status write_first_records(Database& db, const Identity& identity, const ContextState& state) {
  rocksdb::WriteBatch batch;
  db.put(batch, Family::kManifest, Kind::kIdentity, schema::kIdentityBlock, as_bytes(encode_identity(identity)));
  put_state(db, batch, ContextState(), state);
  return db.write(batch, Database::Durability::kSynced);
}

Status note_version_log(const Database& db, Ledger& ledger) {
  TRY_ASSIGN(const LiveFile log, db.version_log());
  ledger.version_log = log.name, ledger.version_log_bytes = log.bytes;
  return {};
}

// The families of the database of a context with these kinds.
std::vector<Family> families_of(const std::vector<ContextKind>& kinds) {
  std::vector<Family> families(std::begin(schema::kFamilies), std::end(schema::kFamilies));
  for (const ContextKind& held : kinds) {
    if (size_t(held.kind->family) >= std::size(schema::kFamilies)) families.push_back(held.kind->family);
  }
  return families;
}

}  // namespace

Status create_stored_context(const std::string& dir, const Identity& identity, const std::string& replaces,
                             const DatabaseShare& share) {
  ContextState state;
  state.sequence = 1;
  Ledger ledger{identity.id, identity.name, state.sequence, 0, false, replaces, false};
  ledger.extra_kinds = identity.extra_kinds;
  TRY_ASSIGN(const auto kinds, kinds_of(identity.row_bytes, identity.extra_kinds));
  {
    TRY_ASSIGN(const auto db,
               Database::open(dir, {identity.id, identity.name}, Database::Mode::kCreate, share, families_of(kinds)));
    TRY(write_first_records(*db, identity, state));
    TRY(note_version_log(*db, ledger));
  }
  return write_ledger(*share.disk, dir, ledger);
}

Result<StoredContext> StoredContext::open(const std::string& dir, FileLock lock, Database::Mode mode,
                                          const DatabaseShare& share, std::shared_ptr<SpaceClaim> claim) {
  StoredContext c;
  c.dir_ = dir;
  c.claim_ = std::move(claim);
  c.lock_ = std::move(lock);
  TRY_ASSIGN(c.ledger_, read_ledger(*share.disk, dir));
  const Ledger& ledger = c.ledger_;
  const ContextTag tag{ledger.id, ledger.name};
  // A record with a right checksum but impossible values: the message names its context.
  const auto decoded = [&](const auto& result, const char* record) -> Status {
    if (result.ok()) return {};
    return {result.status().code, fmt::format("{}: {} {}", tag.text(), record, result.status().message)};
  };
  auto kinds = kinds_of(/*row_bytes=*/1, ledger.extra_kinds);
  TRY(decoded(kinds, "context.json"));
  TRY_ASSIGN(c.db_, Database::open(dir, tag, mode, share, families_of(kinds.value())));
  TRY_ASSIGN(const std::string identity, c.db_->read_one(Family::kManifest, Kind::kIdentity, schema::kIdentityBlock));
  auto decoded_identity = decode_identity(as_bytes(identity));
  TRY(decoded(decoded_identity, "identity record"));
  c.identity_ = std::move(decoded_identity).value();
  c.identity_.extra_kinds = ledger.extra_kinds;
  TRY_ASSIGN(c.kinds_, kinds_of(c.identity_.row_bytes, ledger.extra_kinds));
  TRY_ASSIGN(ContextState state, read_state(*c.db_, c.identity_.block_tokens));
  c.set_state(std::move(state));
  if (c.identity_.id != ledger.id || c.identity_.name != ledger.name) {
    return c.corrupt("the database and context.json are of different contexts");
  }
  if (c.state_.sequence < ledger.saved_sequence) {
    return c.corrupt(fmt::format("the database has lost writes: it is at {}, {} was saved (a file of it is damaged)",
                                 c.state_.sequence, ledger.saved_sequence));
  }
  return c;
}

Status StoredContext::set_ledger(Ledger ledger) {
  TRY(note_version_log(*db_, ledger));
  TRY(write_ledger(db_->disk(), dir_, ledger));
  ledger_ = std::move(ledger);
  return {};
}

void StoredContext::set_state(ContextState state) {
  state_ = std::move(state);
  meta_ = meta_of(identity_, state_);
}

FileLock StoredContext::release_lock() {
  db_.reset();
  return std::move(lock_);
}

Status StoredContext::corrupt(const std::string& what) const {
  return {Code::kCorrupt, fmt::format("{}: {}", db_->tag().text(), what)};
}

Result<std::vector<Tokens>> StoredContext::read_tokens(std::span<const TokenRange> ranges) const {
  const BlockMap& map = state_.blocks;
  std::vector<Tokens> found(ranges.size());
  std::vector<std::pair<int64_t, size_t>> wanted;  // (block, range), so that each block is read and decoded once
  for (size_t r = 0; r < ranges.size(); ++r) {
    const auto [begin, end] = ranges[r];
    if (begin < 0 || begin > end || end > map.n_tokens()) {
      return Status{Code::kInternal, fmt::format("{}: tokens [{}, {}) asked for, it has {}", db_->tag().text(), begin,
                                                 end, map.n_tokens())};
    }
    found[r].ids.resize(size_t(end - begin));
    found[r].begin_bytes.assign(size_t(end - begin) + 1, begin == map.n_tokens() ? state_.n_bytes : -1);
    if (begin == map.n_tokens()) continue;
    const int64_t last = map.block_at(std::max(begin, end - 1));
    for (int64_t b = map.block_at(begin); b <= last; ++b) wanted.emplace_back(b, r);
  }
  std::sort(wanted.begin(), wanted.end());
  for (auto group = wanted.begin(); group != wanted.end();) {
    std::vector<uint64_t> blocks;
    auto end = group;
    for (; end != wanted.end(); ++end) {
      const auto block = uint64_t(map.block(end->first).begin);
      if (!blocks.empty() && blocks.back() == block) continue;
      if (blocks.size() == kSpanBatchBlocks) break;
      blocks.push_back(block);
    }
    TRY_ASSIGN(const BlockBatch batch, db_->read(Family::kSpans, Kind::kSpans, blocks));
    for (size_t at = 0; group != end; ++group) {
      const TokenRange block = map.block(group->first);
      while (blocks[at] != uint64_t(block.begin)) ++at;
      TRY(copy_tokens(block, batch.payloads[at], ranges[group->second], found[group->second]));
    }
  }
  return found;
}

Status StoredContext::copy_tokens(TokenRange block, std::span<const std::byte> payload, const TokenRange& range,
                                  Tokens& tokens) const {
  const auto name = describe_block(Kind::kSpans, uint64_t(block.begin));
  const auto decoded = decode_spans(payload, block.n_tokens());
  if (!decoded.ok()) return corrupt(name + " " + decoded.status().message);
  const SpanBlock& spans = decoded.value();
  int64_t at_byte = spans.begin_byte;
  for (int64_t t = block.begin; t < std::min(block.end, std::max(range.end, range.begin + 1)); ++t) {
    if (t >= range.begin) {
      const auto slot = size_t(t - range.begin);
      int64_t& begin_byte = tokens.begin_bytes[slot];
      // The last block stored here the byte where it ended; a gap or an overlap is damage.
      if (begin_byte >= 0 && begin_byte != at_byte) return corrupt(name + " does not follow the one before it");
      begin_byte = at_byte;
      if (t >= range.end) break;  // an empty range asks only where its token begins
      tokens.ids[slot] = spans.ids[size_t(t - block.begin)];
      tokens.begin_bytes[slot + 1] = at_byte + spans.byte_lengths[size_t(t - block.begin)];
    }
    at_byte += spans.byte_lengths[size_t(t - block.begin)];
  }
  return {};
}

Result<ContextKind> StoredContext::held(const ChunkKind& kind) const {
  const auto held = std::find_if(kinds_.begin(), kinds_.end(), [&](const ContextKind& k) { return k.kind == &kind; });
  if (held != kinds_.end()) return *held;
  return Status{Code::kNotFound, fmt::format("{}: keeps no \"{}\"", db_->tag().text(), kind.name)};
}

Status StoredContext::scan(const ChunkKind& kind, const ValueFn& fn) const {
  TRY_ASSIGN(const ContextKind held, this->held(kind));
  const BlockMap values = held.values(state_.blocks);
  return stream_blocks(
      *db_, kind.family, kind.kind, MemoryCategory::kIndex, values.n_blocks(),
      [&](int64_t i) { return held.place(values.block(i)); },
      [&](int64_t i, std::span<const std::byte> bytes) { return fn(values.block(i), bytes); });
}

Status StoredContext::read_values(const ChunkKind& kind, std::span<const TokenRange> ranges, const ValueFn& fn) const {
  TRY_ASSIGN(const ContextKind held, this->held(kind));
  const BlockMap values = held.values(state_.blocks);
  std::vector<TokenRange> wanted;
  int64_t bytes = 0;
  const auto fetch = [&]() -> Status {
    std::vector<uint64_t> blocks;
    blocks.reserve(wanted.size());
    for (const TokenRange& value : wanted) blocks.push_back(uint64_t(value.begin));
    // Twice, as RocksDB copies the values out of what it has read.
    TRY_ASSIGN(const auto memory, Reservation::create(db_->account(), MemoryCategory::kIndex, 2 * bytes));
    TRY_ASSIGN(const BlockBatch batch, db_->read(kind.family, kind.kind, blocks));
    for (size_t i = 0; i < wanted.size(); ++i) {
      TRY(check_size(db_->tag(), kind.kind, held.place(wanted[i]), batch.payloads[i].size()));
      TRY(fn(wanted[i], batch.payloads[i]));
    }
    wanted.clear(), bytes = 0;
    return {};
  };
  for (const auto& [begin, end] : ranges) {
    if (begin < 0 || begin >= end || end > values.n_tokens()) {
      return {Code::kInternal, fmt::format("{}: tokens [{}, {}) asked for, it has {}", db_->tag().text(), begin, end,
                                           values.n_tokens())};
    }
    for (int64_t i = values.block_at(begin); i <= values.block_at(end - 1); ++i) {
      const int64_t value_bytes = held.place(values.block(i)).payload_bytes;
      if (!wanted.empty() && bytes + value_bytes > kFetchBytes) TRY(fetch());
      wanted.push_back(values.block(i)), bytes += value_bytes;
    }
  }
  return wanted.empty() ? ok_status() : fetch();
}

std::vector<int64_t> StoredContext::checkpoints() const {
  std::vector<int64_t> found;
  for (const CheckpointRef& ref : state_.checkpoints) found.push_back(ref.n_tokens);
  return found;
}

Status StoredContext::load_checkpoint(
    int64_t n_tokens, const std::function<Status(const std::string&, std::span<const std::byte>)>& fn) const {
  for (const CheckpointRef& ref : state_.checkpoints) {
    if (ref.n_tokens == n_tokens) return read_checkpoint(*db_, ref, fn);
  }
  return {Code::kNotFound, fmt::format("{}: has no checkpoint at {} tokens", db_->tag().text(), n_tokens)};
}

}  // namespace reform
