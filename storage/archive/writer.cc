#include <fmt/format.h>

#include <algorithm>

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

class ArchiveWriter {
 public:
  ArchiveWriter(StoredContext& context, const ByteSink& sink, const ContextProgressFn& progress)
      : context_(context), db_(context.db()), out_(sink), progress_(progress) {}

  Result<ArchiveSummary> run(const ArchiveTexts& texts);

 private:
  Status write_manifest(const ArchiveTexts& texts);
  Status write_checkpoint(const CheckpointRef& ref);
  Status add(Section kind, uint64_t number, std::span<const std::byte> payload);

  StoredContext& context_;
  Database& db_;
  archive::Writer out_;
  const ContextProgressFn& progress_;
  int64_t total_bytes_ = 0;
};

Status ArchiveWriter::add(Section kind, uint64_t number, std::span<const std::byte> payload) {
  TRY(out_.add(kind, number, payload));
  if (!progress_) return {};
  return progress_(context_.meta().name, std::min(out_.bytes(), total_bytes_), total_bytes_);
}

Status ArchiveWriter::write_manifest(const ArchiveTexts& texts) {
  archive::Manifest manifest{context_.identity(), context_.state()};
  manifest.identity.settings = texts.settings;
  manifest.state.sources = texts.sources;
  total_bytes_ = estimated_archive_bytes(manifest);
  const std::string payload = archive::encode_manifest(manifest);
  // The writer makes sure that the archive can be read.
  if (int64_t(payload.size()) > archive::kMaxManifestBytes || !archive::decode_manifest(as_bytes(payload)).ok()) {
    return {Code::kInternal, fmt::format("{}: its records ({} bytes) are more than an archive can hold",
                                         db_.tag().text(), payload.size())};
  }
  return add(Section::kManifest, 0, as_bytes(payload));
}

Status ArchiveWriter::write_checkpoint(const CheckpointRef& ref) {
  TRY_ASSIGN(const std::vector<PartSize> parts, read_checkpoint_index(db_, ref));
  const std::string index = encode_checkpoint_index(parts);
  if (int64_t(index.size()) > archive::kMaxIndexBytes)
    return {Code::kInternal, fmt::format("{}: a checkpoint of {} parts", db_.tag().text(), parts.size())};
  TRY(add(Section::kCheckpointIndex, uint64_t(ref.n_tokens), as_bytes(index)));
  const auto place = [&](int64_t i) { return checkpoint_piece(ref, i); };
  return stream_blocks(db_, Family::kCheckpoints, Kind::kCheckpointPiece, MemoryCategory::kCheckpoint,
                       n_checkpoint_pieces(ref.bytes), place, [&](int64_t i, std::span<const std::byte> piece) {
                         return add(Section::kCheckpointPiece, uint64_t(i) + 1, piece);
                       });
}

Result<ArchiveSummary> ArchiveWriter::run(const ArchiveTexts& texts) {
  // A section is assembled before it is passed on.
  TRY_ASSIGN(const auto memory,
             Reservation::create(db_.account(), MemoryCategory::kStore, schema::kMaxBlockBytes + schema::kPieceBytes));
  TRY(out_.begin());
  TRY(write_manifest(texts));
  for (const ContextKind& held : context_.kinds()) {
    TRY(context_.scan(*held.kind, [&](TokenRange tokens, std::span<const std::byte> bytes) {
      return add(Section(held.kind->section), uint64_t(tokens.begin), bytes);
    }));
  }
  for (const CheckpointRef& ref : context_.state().checkpoints) TRY(write_checkpoint(ref));
  TRY(out_.end());
  return ArchiveSummary{out_.bytes(), out_.digest()};
}

}  // namespace

int64_t estimated_archive_bytes(const archive::Manifest& manifest) {
  constexpr int64_t kSpanBytes = 5;  // per token: an id of 2 or 3 bytes, its length, and the frames
  int64_t token_bytes = kSpanBytes + manifest.identity.row_bytes;
  for (const auto& [name, row_bytes] : manifest.identity.extra_kinds) token_bytes += row_bytes;
  int64_t bytes = manifest.state.blocks.n_tokens() * token_bytes;
  for (const CheckpointRef& checkpoint : manifest.state.checkpoints) bytes += checkpoint.bytes;
  return bytes;
}

Result<ArchiveSummary> write_archive(StoredContext& context, const ArchiveTexts& texts, const ByteSink& sink,
                                     const ContextProgressFn& progress) {
  return ArchiveWriter(context, sink, progress).run(texts);
}

}  // namespace reform
