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

// A value on its way into the database is in its frame and in the batch, beside the section it came in.
constexpr int64_t kValueCopies = 2;
// What is claimed of the store's room at a time.
constexpr int64_t kClaimBytes = int64_t{16} << 20;

std::vector<CheckpointRef> checkpoint_refs(const archive::Manifest& manifest) {
  std::vector<CheckpointRef> refs;
  for (const archive::Checkpoint& c : manifest.checkpoints) refs.push_back({c.n_tokens, refs.size() + 1, c.bytes});
  return refs;
}

Status read_spans(archive::Reader& in, const archive::Manifest& manifest, const ValueSink& put) {
  int64_t at_byte = 0;
  for (int64_t i = 0; i < manifest.blocks.n_blocks(); ++i) {
    const BlockRange block = manifest.blocks.block(i);
    const auto number = uint64_t(block.begin_token);
    const std::string name = archive::describe_section(Section::kSpans, number);
    TRY_ASSIGN(const auto payload, in.next(Section::kSpans, number, 0, archive::max_span_bytes(block.n_tokens())));
    const auto spans = decode_spans(payload, block.n_tokens());
    if (!spans.ok()) return {Code::kCorrupt, fmt::format("its {} {}", name, spans.status().message)};
    if (spans.value().begin_byte != at_byte)
      return {Code::kCorrupt, fmt::format("its {} does not follow the one before it", name)};
    at_byte = spans.value().end_byte();
    TRY(put(Family::kSpans, Kind::kSpans, number, payload));
  }
  if (at_byte == manifest.n_bytes) return {};
  return {Code::kCorrupt,
          fmt::format("its token blocks end at byte {} of the text, its manifest says {}", at_byte, manifest.n_bytes)};
}

Status read_rows(archive::Reader& in, const archive::Manifest& manifest, const ValueSink& put) {
  for (int64_t i = 0; i < manifest.blocks.n_blocks(); ++i) {
    const BlockRange block = manifest.blocks.block(i);
    const int64_t bytes = block.n_tokens() * manifest.row_bytes;
    TRY_ASSIGN(const auto rows, in.next(Section::kEmbeddings, uint64_t(block.begin_token), bytes, bytes));
    TRY(put(Family::kEmbeddings, Kind::kEmbeddings, uint64_t(block.begin_token), rows));
  }
  return {};
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
  TRY(read_spans(in, manifest, put));
  TRY(read_rows(in, manifest, put));
  for (const CheckpointRef& ref : checkpoint_refs(manifest)) TRY(read_one_checkpoint(in, ref, put));
  return in.end();
}

Status restore_archive(archive::Reader& in, const archive::Manifest& manifest, StoredContext& context,
                       const ContextProgressFn& progress) {
  Database& db = context.db();
  TRY_ASSIGN(const auto memory,
             Reservation::create(db.account(), MemoryCategory::kStore, kValueCopies * schema::kMaxBlockBytes));
  const int64_t total_bytes = estimated_archive_bytes(manifest);
  // Room is claimed as the archive's bytes come: what it says of its size is not to cost anybody's context.
  int64_t put_bytes = 0, claimed_bytes = 0;
  const auto claim = [&]() -> Status {
    const int64_t unflushed_bytes = std::min(put_bytes, Database::open_bytes(Database::Mode::kWrite));
    const int64_t step_bytes = std::clamp(total_bytes - put_bytes, schema::kMaxBlockBytes, kClaimBytes);
    TRY(context.claim()->ensure({.checkpoint_bytes = unflushed_bytes + step_bytes}));
    claimed_bytes = put_bytes + step_bytes;
    return {};
  };
  // Unlogged: nobody sees the context before all of it has been flushed.
  const auto put = [&](Family family, Kind kind, uint64_t block, std::span<const std::byte> payload) -> Status {
    const auto payload_bytes = int64_t(payload.size());
    if (put_bytes + payload_bytes > claimed_bytes) TRY(claim());
    put_bytes += payload_bytes;
    rocksdb::WriteBatch batch;
    db.put(batch, family, kind, block, payload);
    TRY(db.write(batch, Database::Durability::kUnlogged));
    return progress ? progress(manifest.name, std::min(in.bytes(), total_bytes), total_bytes) : Status{};
  };
  TRY(read_archive_values(in, manifest, put));
  constexpr Family kFamilies[] = {Family::kSpans, Family::kEmbeddings, Family::kCheckpoints};
  TRY(db.flush(kFamilies));
  ContextState state = context.state();
  state.n_bytes = manifest.n_bytes;
  state.blocks = manifest.blocks;
  state.checkpoints = checkpoint_refs(manifest);
  state.next_generation = state.checkpoints.size() + 1;
  state.sources = manifest.sources;
  state.progress = manifest.progress;
  context.set_state(std::move(state));
  return {};
}

}  // namespace reform
