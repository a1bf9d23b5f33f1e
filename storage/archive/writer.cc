#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/try.h"
#include "storage/archive/archive.h"
#include "storage/archive/format.h"
#include "storage/context/block_stream.h"
#include "storage/context/checkpoint.h"
#include "storage/context/stored_context.h"
#include "storage/format/bytes.h"

namespace reform {
namespace {

using archive::Section;
using schema::Family;
using schema::Kind;

using AddSection = std::function<Status(Section kind, uint64_t number, std::span<const std::byte> payload)>;

Status write_manifest(const Database& db, const archive::Manifest& manifest, const AddSection& add) {
  const std::string payload = archive::encode_manifest(manifest);
  // The writer makes sure that the archive can be read.
  if (int64_t(payload.size()) > archive::kMaxManifestBytes || !archive::decode_manifest(as_bytes(payload)).ok()) {
    return {Code::kInternal, fmt::format("{}: its records ({} bytes) are more than an archive can hold",
                                         db.tag().text(), payload.size())};
  }
  return add(Section::kManifest, 0, as_bytes(payload));
}

Status write_checkpoint(const Database& db, const CheckpointRef& ref, const AddSection& add) {
  TRY_ASSIGN(const std::vector<PartSize> parts, read_checkpoint_index(db, ref));
  const std::string index = encode_checkpoint_index(parts);
  if (int64_t(index.size()) > archive::kMaxIndexBytes)
    return {Code::kInternal, fmt::format("{}: a checkpoint of {} parts", db.tag().text(), parts.size())};
  TRY(add(Section::kCheckpointIndex, uint64_t(ref.n_tokens), as_bytes(index)));
  const auto place = [&](int64_t i) { return checkpoint_piece(ref, i); };
  return stream_blocks(db, Family::kCheckpoints, Kind::kCheckpointPiece, MemoryCategory::kCheckpoint,
                       n_checkpoint_pieces(ref.bytes), place, [&](int64_t i, std::span<const std::byte> piece) {
                         return add(Section::kCheckpointPiece, uint64_t(i) + 1, piece);
                       });
}

}  // namespace

int64_t estimated_archive_bytes(const archive::Manifest& manifest) {
  constexpr int64_t kSpanBytes = 5;  // per token: an id of 2 or 3 bytes, its length, and the frames
  const BlockMap& map = manifest.state.blocks;
  int64_t bytes = map.n_tokens() * (kSpanBytes + manifest.identity.row_bytes);
  for (const auto& [name, row_bytes] : manifest.identity.extra_kinds) {
    const ChunkKind* const kind = find_chunk_kind(name);
    const bool per_page = kind != nullptr && kind->shape == ChunkKind::Shape::kPages;
    bytes += row_bytes * (per_page ? map.cut_in(schema::kPageTokens).n_blocks() : map.n_tokens());
  }
  for (const CheckpointRef& checkpoint : manifest.state.checkpoints) bytes += checkpoint.bytes;
  return bytes;
}

Result<ArchiveSummary> write_archive(StoredContext& context, const ContextMeta& shown, const ByteSink& sink,
                                     const ContextProgressFn& progress) {
  const Database& db = context.db();
  // A section is assembled before it is passed on.
  TRY_ASSIGN(const auto memory,
             Reservation::create(db.account(), MemoryCategory::kStore, schema::kMaxBlockBytes + schema::kPieceBytes));
  archive::Manifest manifest{context.identity(), context.state()};
  manifest.identity.name = shown.name;
  manifest.identity.settings = shown.settings;
  manifest.state.sources = shown.sources;
  const int64_t total_bytes = estimated_archive_bytes(manifest);
  archive::Writer out(sink);
  const auto add = [&](Section kind, uint64_t number, std::span<const std::byte> payload) -> Status {
    TRY(out.add(kind, number, payload));
    return progress ? progress(context.meta().name, std::min(out.bytes(), total_bytes), total_bytes) : Status{};
  };
  TRY(out.begin());
  TRY(write_manifest(db, manifest, add));
  for (const ContextKind& held : context.kinds()) {
    TRY(context.scan(*held.kind, [&](TokenRange tokens, std::span<const std::byte> bytes) {
      return add(Section(held.kind->section), uint64_t(tokens.begin), bytes);
    }));
  }
  for (const CheckpointRef& ref : context.state().checkpoints) TRY(write_checkpoint(db, ref, add));
  TRY(out.end());
  return ArchiveSummary{out.bytes(), out.digest()};
}

}  // namespace reform
