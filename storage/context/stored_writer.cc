#include "storage/context/stored_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "base/try.h"
#include "storage/context/checkpoint.h"
#include "storage/context/state_record.h"
#include "storage/format/block_codec.h"
#include "storage/format/bytes.h"
#include "storage/limits/use_record.h"

namespace reform {
namespace {

using schema::Family;
using schema::Kind;
using Shape = ChunkKind::Shape;
using Durability = Database::Durability;

// Beyond every block number in use, so that a range that ends here holds all.
constexpr uint64_t kEndBlock = UINT64_MAX;

int64_t bytes_in(std::span<const std::span<const std::byte>> parts) {
  int64_t bytes = 0;
  for (const auto& part : parts) bytes += int64_t(part.size());
  return bytes;
}

}  // namespace

Result<std::unique_ptr<StoredWriter>> StoredWriter::create(StoredContext context) {
  std::unique_ptr<StoredWriter> writer(new StoredWriter(std::move(context)));
  TRY(writer->ensure({}));
  TRY(writer->sweep());
  // RocksDB has begun a new MANIFEST. From now on damage in it counts as damage, not as an end that was never synced.
  TRY(writer->context_.set_ledger(writer->context_.ledger()));
  return writer;
}

Status StoredWriter::sweep() {
  SpaceClaim& claim = *context_.claim();
  return sweep_checkpoints(context_.db(), context_.state().checkpoints,
                           [&](int64_t bytes) { return claim.ensure_free(bytes); });
}

Status StoredWriter::claim_room(const Growth& growth) {
  return failed_.ok() ? context_.claim()->plan(growth) : failed_;
}

Status StoredWriter::refuse(const std::string& why) const {
  return {Code::kInternal, fmt::format("{}: {}", ContextTag{meta().id, meta().name}.text(), why)};
}

Status StoredWriter::write_state(rocksdb::WriteBatch& batch, ContextState state, Durability durability) {
  ++state.sequence;
  Database& db = context_.db();
  put_state(db, batch, context_.state(), state);
  TRY(db.write(batch, durability));
  context_.set_state(std::move(state));
  return {};
}

// Everything up to the current state is synced, so the ledger may say so.
Status StoredWriter::note_saved() {
  const ContextState& state = context_.state();
  const int64_t saved_tokens = state.complete              ? state.blocks.n_tokens()
                               : state.checkpoints.empty() ? 0
                                                           : state.checkpoints.back().n_tokens;
  Ledger ledger = context_.ledger();
  ledger.saved_sequence = state.sequence;
  ledger.saved_tokens = saved_tokens;
  ledger.complete = state.complete;
  const auto store = std::filesystem::path(context_.dir()).parent_path().parent_path();
  if (state.complete) ledger.use_number = next_use_number(context_.db().disk(), (store / "contexts").string());
  if (state.complete && !ledger.replaces.empty() && !ledger.took_over) {
    // A pin belongs to the name, so the replacement inherits it.
    const auto replaced = std::filesystem::path(context_.dir()).parent_path() / ledger.replaces;
    const UseRecord use = read_use_record(context_.db().disk(), replaced.string());
    if (use.pinned || use.last_asked_unix_ms != 0) TRY(write_use_record(context_.db().disk(), context_.dir(), use));
  }
  ledger.took_over = ledger.took_over || (state.complete && !ledger.replaces.empty());
  return context_.set_ledger(std::move(ledger));
}

Result<StoredWriter::Parts> StoredWriter::parts_of(const ChunkWrite& chunk) const {
  const auto n = int64_t(chunk.token_ids.size());
  Parts parts;
  for (const ContextKind& held : context_.kinds()) {
    std::span<const std::byte>& bytes = parts.emplace_back();
    if (held.kind->shape == Shape::kTokens) continue;
    const auto part = std::find_if(chunk.parts.begin(), chunk.parts.end(),
                                   [&](const NamedBytes& p) { return p.name == held.kind->name; });
    if (part == chunk.parts.end()) return refuse(fmt::format("a chunk without \"{}\"", held.kind->name));
    bytes = part->bytes;
    const auto n_bytes = int64_t(bytes.size());
    const BlockPlace all = held.part_of(n);
    if (all.at_most ? n_bytes > all.payload_bytes : n_bytes != all.payload_bytes) {
      return refuse(fmt::format("a chunk of {} tokens with {} bytes of \"{}\"", n, n_bytes, held.kind->name));
    }
  }
  if (chunk.parts.size() + 1 != parts.size()) return refuse("a chunk with parts that the context does not keep");
  return parts;
}

Status StoredWriter::commit_chunk(const ChunkWrite& chunk) {
  const auto n = int64_t(chunk.token_ids.size());
  if (meta().complete) return refuse("is complete: truncate before adding to it");
  if (chunk.begin_token != meta().n_tokens) {
    return refuse(fmt::format("a chunk begins at {}, the context ends at {}", chunk.begin_token, meta().n_tokens));
  }
  if (n < 1 || n > schema::kMaxTokens - meta().n_tokens || int64_t(chunk.byte_lengths.size()) != n) {
    return refuse(fmt::format("a chunk of {} ids and {} lengths", n, chunk.byte_lengths.size()));
  }
  TRY_ASSIGN(const Parts parts, parts_of(chunk));
  TRY(ensure(
      {.chunk_bytes = bytes_in(parts) + 16 * n + int64_t(chunk.sources.size()) + int64_t(chunk.progress.size())}));
  return run([&] { return write_chunk(chunk, parts); });
}

// A memtable takes a chunk's part whole, and the next one while this one is flushed.
Status StoredWriter::reserve_memtables(const Parts& parts) {
  int64_t bytes = 0;
  for (size_t k = 0; k < parts.size(); ++k) {
    const ChunkKind* const kind = context_.kinds()[k].kind;
    if (kind == &kTokenSpans || kind == &kEmbeddingRows) continue;  // Database::open_bytes() has room for theirs
    bytes += kMemtables * std::max<int64_t>(0, int64_t(parts[k].size()) - kind->memtable_bytes);
  }
  if (bytes <= memtable_bytes_) return {};
  large_memtables_ = {};
  TRY_ASSIGN(large_memtables_, Reservation::create(context_.db().account(), MemoryCategory::kStore, bytes));
  memtable_bytes_ = bytes;
  return {};
}

void StoredWriter::put_values(rocksdb::WriteBatch& batch, const ContextKind& held, const ChunkWrite& chunk,
                              std::span<const std::byte> part) {
  if (held.kind->shape == Shape::kTokens) return;
  BlockMap map(context_.identity().block_tokens);
  map.append_chunks(int64_t(chunk.token_ids.size()), 1);
  const BlockMap values = held.values(map);
  for (int64_t i = 0; i < values.n_blocks(); ++i) {
    const BlockPlace place = held.place(values.block(i));
    const auto payload = part.first(place.at_most ? part.size() : size_t(place.payload_bytes));
    context_.db().put(batch, held.kind->family, held.kind->kind, uint64_t(chunk.begin_token) + place.block, payload);
    part = part.subspan(payload.size());
  }
}

Status StoredWriter::write_chunk(const ChunkWrite& chunk, const Parts& parts) {
  const int64_t n = int64_t(chunk.token_ids.size()), block_tokens = context_.identity().block_tokens;
  Database& db = context_.db();
  TRY(reserve_memtables(parts));
  TRY_ASSIGN(const auto memory, Reservation::create(db.account(), MemoryCategory::kStore, bytes_in(parts)));
  ContextState state = context_.state();
  rocksdb::WriteBatch batch(size_t(bytes_in(parts) + 16 * n));
  for (int64_t begin = 0; begin < n; begin += block_tokens) {
    const auto first = size_t(begin), count = size_t(std::min(n - begin, block_tokens));
    const auto lengths = chunk.byte_lengths.subspan(first, count);
    const std::string spans = encode_spans(state.n_bytes, chunk.token_ids.subspan(first, count), lengths);
    db.put(batch, kTokenSpans.family, kTokenSpans.kind, uint64_t(chunk.begin_token + begin), as_bytes(spans));
    state.n_bytes = std::accumulate(lengths.begin(), lengths.end(), state.n_bytes);
  }
  for (size_t k = 0; k < parts.size(); ++k) put_values(batch, context_.kinds()[k], chunk, parts[k]);
  state.blocks.append_chunks(n, 1);
  state.sources = chunk.sources;
  state.progress = chunk.progress;
  return write_state(batch, std::move(state), Durability::kLogged);
}

Status StoredWriter::save_checkpoint(int64_t n_tokens, std::span<const NamedBytes> parts,
                                     std::span<const int64_t> keep) {
  if (!context_.state().blocks.is_chunk_boundary(n_tokens)) {
    return refuse(fmt::format("a checkpoint at {} tokens, which is no chunk's end", n_tokens));
  }
  int64_t checkpoint_bytes = 0;
  for (const NamedBytes& part : parts) checkpoint_bytes += int64_t(part.bytes.size());
  TRY(ensure({.checkpoint_bytes = checkpoint_bytes}));
  return run([&]() -> Status {
    ContextState state = context_.state();
    TRY_ASSIGN(const CheckpointRef ref, write_checkpoint(context_.db(), n_tokens, state.next_generation++, parts));
    std::erase_if(state.checkpoints, [&](const CheckpointRef& old) {
      return old.n_tokens == n_tokens || std::find(keep.begin(), keep.end(), old.n_tokens) == keep.end();
    });
    const auto after = std::find_if(state.checkpoints.begin(), state.checkpoints.end(),
                                    [&](const CheckpointRef& other) { return other.n_tokens > n_tokens; });
    state.checkpoints.insert(after, ref);
    // One synced record both adds the new checkpoint and drops the old ones. It also syncs the rows logged before it.
    rocksdb::WriteBatch batch;
    TRY(write_state(batch, std::move(state), Durability::kSynced));
    TRY(note_saved());
    return sweep();
  });
}

// The source byte where token n_tokens, a chunk's first, begins.
Result<int64_t> StoredWriter::source_bytes_of(int64_t n_tokens) const {
  const TokenRange nothing{n_tokens, n_tokens};
  TRY_ASSIGN(const auto tokens, context_.read_tokens({&nothing, 1}));
  return tokens[0].begin_bytes[0];
}

Status StoredWriter::truncate(int64_t n_tokens, const std::string& sources, const std::string& progress) {
  if (!context_.state().blocks.is_chunk_boundary(n_tokens)) {
    return refuse(fmt::format("cannot be cut at {} tokens, which is no chunk's end", n_tokens));
  }
  TRY(ensure({}));
  return run([&]() -> Status {
    ContextState state = context_.state();
    TRY_ASSIGN(state.n_bytes, source_bytes_of(n_tokens));
    CHECK(state.blocks.truncate(n_tokens));
    std::erase_if(state.checkpoints, [&](const CheckpointRef& ref) { return ref.n_tokens > n_tokens; });
    state.complete = false;
    state.sources = sources;
    state.progress = progress;
    rocksdb::WriteBatch batch;
    for (const ContextKind& held : context_.kinds()) {
      context_.db().erase(batch, held.kind->family, uint64_t(n_tokens), kEndBlock);
    }
    TRY(write_state(batch, std::move(state), Durability::kSynced));
    TRY(note_saved());
    return sweep();
  });
}

Status StoredWriter::finish(const std::string& sources, const std::string& progress, std::span<const int64_t> dropped) {
  TRY(ensure({}));
  return run([&]() -> Status {
    ContextState state = context_.state();
    std::erase_if(state.checkpoints, [&](const CheckpointRef& ref) {
      return std::find(dropped.begin(), dropped.end(), ref.n_tokens) != dropped.end();
    });
    state.complete = true;
    state.sources = sources;
    state.progress = progress;
    rocksdb::WriteBatch batch;
    TRY(write_state(batch, std::move(state), Durability::kSynced));
    // All is on disk. The rest tidies up, and may need more room than there is.
    if (sweep().ok() && context_.db().flush(context_.db().families()).ok()) {
      SpaceClaim& claim = *context_.claim();
      for (const Family family : context_.db().families()) {
        (void)context_.db().compact(family, [&](int64_t bytes) { return claim.ensure_free(bytes); }).ok();
      }
    }
    return note_saved();  // last: with it a replacement takes over, and its readers wait until we release it
  });
}

}  // namespace reform
