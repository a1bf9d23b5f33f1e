#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "storage/archive/archive.h"
#include "storage/archive/format.h"
#include "storage/context/checkpoint.h"
#include "storage/context/stored_context.h"
#include "storage/format/block_codec.h"
#include "storage/format/bytes.h"

namespace reform {
namespace {

using archive::Section;
using schema::Family;
using schema::Kind;

// The copies of a value on its way into the database, beside the section that it came in: its frame and the batch.
constexpr int64_t kValueCopies = 2;
// How much of the store's room is claimed at a time.
constexpr int64_t kClaimBytes = int64_t{16} << 20;

Status read_kind(archive::Reader& in, const ContextState& state, const ContextKind& held, const ValueSink& put) {
  const ChunkKind& kind = *held.kind;
  const bool of_tokens = kind.shape == ChunkKind::Shape::kTokens;
  SpanChain spans;
  const BlockMap values = held.values(state.blocks);
  for (int64_t i = 0; i < values.n_blocks(); ++i) {
    const TokenRange tokens = values.block(i);
    const BlockPlace place = held.place(tokens);
    TRY_ASSIGN(const auto payload, in.next(Section(kind.section), place.block, place.at_most ? 0 : place.payload_bytes,
                                           place.payload_bytes));
    if (of_tokens) {
      const Status added = spans.add(tokens, payload);
      if (!added.ok()) return {added.code, "its " + added.message};
    }
    TRY(put(kind.family, kind.kind, place.block, payload));
  }
  if (!of_tokens) return {};
  const int64_t end_byte = spans.end_byte(state.blocks.n_tokens()).value_or(0);
  if (end_byte == state.n_bytes) return {};
  return {Code::kCorrupt,
          fmt::format("its token blocks end at byte {} of the text, its manifest says {}", end_byte, state.n_bytes)};
}

Status read_one_checkpoint(archive::Reader& in, const CheckpointRef& ref, const ValueSink& put) {
  const auto number = uint64_t(ref.n_tokens);
  TRY_ASSIGN(const auto index, in.next(Section::kCheckpointIndex, number, 1, archive::kMaxIndexBytes));
  if (const auto parts = decode_checkpoint_index(index, ref.bytes); !parts.ok()) {
    return {Code::kCorrupt, fmt::format("its {} {}", archive::describe_section(Section::kCheckpointIndex, number),
                                        parts.status().message)};
  }
  TRY(put(Family::kCheckpoints, Kind::kCheckpointIndex, schema::checkpoint_block(ref.generation, 0), index));
  for (int64_t i = 0; i < n_checkpoint_pieces(ref.bytes); ++i) {
    const BlockPlace place = checkpoint_piece(ref, i);
    TRY_ASSIGN(const auto piece,
               in.next(Section::kCheckpointPiece, uint64_t(i) + 1, place.payload_bytes, place.payload_bytes));
    TRY(put(Family::kCheckpoints, Kind::kCheckpointPiece, place.block, piece));
  }
  return {};
}

}  // namespace

Result<archive::Manifest> read_archive_manifest(archive::Reader& in) {
  TRY(in.begin());
  TRY_ASSIGN(const auto payload, in.next(Section::kManifest, 0, 1, archive::kMaxManifestBytes));
  auto manifest = archive::decode_manifest(payload);
  if (manifest.ok()) return manifest;
  return Status{manifest.status().code, "its manifest " + manifest.status().message};
}

Status read_archive_values(archive::Reader& in, const archive::Manifest& manifest, const ValueSink& put) {
  TRY_ASSIGN(const auto kinds, kinds_of(manifest.identity.row_bytes, manifest.identity.extra_kinds));
  for (const ContextKind& held : kinds) TRY(read_kind(in, manifest.state, held, put));
  for (const CheckpointRef& ref : manifest.state.checkpoints) TRY(read_one_checkpoint(in, ref, put));
  return in.end();
}

Status restore_archive(archive::Reader& in, const archive::Manifest& manifest, StoredContext& context,
                       const ContextProgressFn& progress) {
  Database& db = context.db();
  TRY_ASSIGN(const auto memory,
             Reservation::create(db.account(), MemoryCategory::kStore, kValueCopies * schema::kMaxBlockBytes));
  const int64_t total_bytes = estimated_archive_bytes(manifest);
  // Room is claimed as the archive's bytes come: a false size in it must not cost anybody a context.
  int64_t put_bytes = 0, claimed_bytes = 0;
  const auto claim = [&]() -> Status {
    const int64_t unflushed_bytes = std::min(put_bytes, Database::open_bytes(Database::Mode::kWrite, db.families()));
    const int64_t step_bytes = std::clamp(total_bytes - put_bytes, schema::kMaxBlockBytes, kClaimBytes);
    TRY(context.claim()->ensure({.checkpoint_bytes = unflushed_bytes + step_bytes}));
    claimed_bytes = put_bytes + step_bytes;
    return {};
  };
  // Not logged, as nobody sees the context before all of it has been flushed.
  const auto put = [&](Family family, Kind kind, uint64_t block, std::span<const std::byte> payload) -> Status {
    const auto payload_bytes = int64_t(payload.size());
    if (put_bytes + payload_bytes > claimed_bytes) TRY(claim());
    put_bytes += payload_bytes;
    rocksdb::WriteBatch batch;
    db.put(batch, family, kind, block, payload);
    TRY(db.write(batch, Database::Durability::kUnlogged));
    return progress ? progress(manifest.identity.name, std::min(in.bytes(), total_bytes), total_bytes) : Status{};
  };
  TRY(read_archive_values(in, manifest, put));
  TRY(db.flush(std::span(db.families()).subspan(1)));  // all families but the manifest, whose records are logged
  ContextState state = manifest.state;
  state.sequence = context.state().sequence;
  state.sources.clear();  // finishing writes them
  context.set_state(std::move(state));
  return {};
}

}  // namespace reform
