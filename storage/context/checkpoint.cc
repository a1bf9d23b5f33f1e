#include "storage/context/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "storage/format/bytes.h"

namespace reform {
namespace {

using schema::Family;
using schema::Kind;

// Collects bytes into pieces and writes each piece when it is full.
class PieceWriter {
 public:
  PieceWriter(Database& db, uint64_t generation) : db_(db), generation_(generation) {}

  Status add(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const size_t n = std::min(bytes.size(), size_t(schema::kPieceBytes) - piece_.size());
      ByteWriter(piece_).bytes(bytes.first(n));
      bytes = bytes.subspan(n);
      if (piece_.size() == size_t(schema::kPieceBytes)) TRY(end_piece());
    }
    return {};
  }
  Status end_piece() {
    if (piece_.empty()) return {};
    CHECK(n_pieces_ < schema::kMaxPiece);
    rocksdb::WriteBatch batch;
    db_.put(batch, Family::kCheckpoints, Kind::kCheckpointPiece, schema::checkpoint_block(generation_, ++n_pieces_),
            as_bytes(piece_));
    piece_.clear();
    return db_.write(batch, Database::Durability::kUnlogged);
  }

 private:
  Database& db_;
  const uint64_t generation_;
  uint64_t n_pieces_ = 0;
  std::string piece_;
};

// A record may claim any size, so nothing is allocated for it before that many bytes are known to be stored.
Status check_stored(const Database& db, const CheckpointRef& ref) {
  const int64_t stored_bytes = db.stored_bytes(Family::kCheckpoints);
  if (ref.bytes <= stored_bytes) return {};
  return {Code::kCorrupt,
          fmt::format("{}: checkpoint at {} tokens is to have {} bytes, and all checkpoints together have {}",
                      db.tag().text(), ref.n_tokens, ref.bytes, stored_bytes)};
}

}  // namespace

std::string encode_checkpoint_index(std::span<const PartSize> parts) {
  std::string payload;
  ByteWriter out(payload);
  out.varint(parts.size());
  for (const PartSize& part : parts) out.text(part.name), out.varint(uint64_t(part.bytes));
  return payload;
}

Result<std::vector<PartSize>> decode_checkpoint_index(std::span<const std::byte> payload, int64_t total_bytes) {
  const Status bad{Code::kCorrupt, "does not fit its index"};
  ByteReader in(payload);
  std::vector<PartSize> parts;
  const int64_t n = in.count();
  for (int64_t i = 0; i < n && in.ok(); ++i) {
    PartSize part{in.text(), in.count()};
    if (part.bytes > total_bytes) return bad;
    total_bytes -= part.bytes;
    parts.push_back(std::move(part));
  }
  if (!in.at_end() || total_bytes != 0) return bad;
  return parts;
}

Result<CheckpointRef> write_checkpoint(Database& db, int64_t n_tokens, uint64_t generation,
                                       std::span<const NamedBytes> parts) {
  CheckpointRef ref{n_tokens, generation, 0};
  std::vector<PartSize> sizes;
  for (const NamedBytes& part : parts) sizes.push_back({part.name, int64_t(part.bytes.size())});
  rocksdb::WriteBatch batch;
  db.put(batch, Family::kCheckpoints, Kind::kCheckpointIndex, schema::checkpoint_block(generation, 0),
         as_bytes(encode_checkpoint_index(sizes)));
  TRY(db.write(batch, Database::Durability::kUnlogged));
  PieceWriter writer(db, generation);
  for (const NamedBytes& part : parts) {
    TRY(writer.add(part.bytes));
    ref.bytes += int64_t(part.bytes.size());
  }
  TRY(writer.end_piece());
  constexpr Family kFamilies[] = {Family::kCheckpoints};
  TRY(db.flush(kFamilies));
  return ref;
}

Result<std::vector<PartSize>> read_checkpoint_index(const Database& db, const CheckpointRef& ref) {
  const uint64_t index_block = schema::checkpoint_block(ref.generation, 0);
  TRY_ASSIGN(const std::string index, db.read_one(Family::kCheckpoints, Kind::kCheckpointIndex, index_block));
  auto parts = decode_checkpoint_index(as_bytes(index), ref.bytes);
  if (parts.ok()) return parts;
  return Status{Code::kCorrupt,
                fmt::format("{}: checkpoint at {} tokens {}", db.tag().text(), ref.n_tokens, parts.status().message)};
}

BlockPlace checkpoint_piece(const CheckpointRef& ref, int64_t i) {
  return {schema::checkpoint_block(ref.generation, uint64_t(i) + 1),
          std::min(schema::kPieceBytes, ref.bytes - i * schema::kPieceBytes)};
}

Status read_checkpoint(const Database& db, const CheckpointRef& ref,
                       const std::function<Status(const std::string&, std::span<const std::byte>)>& fn) {
  TRY_ASSIGN(const std::vector<PartSize> parts, read_checkpoint_index(db, ref));
  TRY(check_stored(db, ref));
  int64_t largest = 0;
  for (const PartSize& part : parts) largest = std::max(largest, part.bytes);
  TRY_ASSIGN(auto buffer, Buffer<std::byte>::create(db.account(), MemoryCategory::kCheckpoint, largest));

  size_t part = 0;
  int64_t filled = 0;
  const auto hand_over = [&]() -> Status {  // passes on every part that is complete, empty ones included
    for (; part < parts.size() && filled == parts[part].bytes; ++part, filled = 0) {
      TRY(fn(parts[part].name, buffer.span().first(size_t(filled))));
    }
    return {};
  };
  TRY(hand_over());
  const auto place = [&](int64_t i) { return checkpoint_piece(ref, i); };
  return stream_blocks(db, Family::kCheckpoints, Kind::kCheckpointPiece, MemoryCategory::kCheckpoint,
                       n_checkpoint_pieces(ref.bytes), place, [&](int64_t, std::span<const std::byte> piece) -> Status {
                         while (!piece.empty()) {
                           const int64_t n = std::min(int64_t(piece.size()), parts[part].bytes - filled);
                           std::copy_n(piece.begin(), n, buffer.data() + filled);
                           piece = piece.subspan(size_t(n));
                           filled += n;
                           TRY(hand_over());
                         }
                         return {};
                       });
}

Status sweep_checkpoints(Database& db, std::span<const CheckpointRef> live,
                         const std::function<bool(int64_t bytes)>& may_grow) {
  std::vector<uint64_t> generations;
  for (const CheckpointRef& ref : live) generations.push_back(ref.generation);
  std::sort(generations.begin(), generations.end());
  generations.push_back(schema::kMaxGeneration + 1);
  rocksdb::WriteBatch batch;
  uint64_t dead_from = 0;
  for (const uint64_t generation : generations) {
    const uint64_t begin = schema::checkpoint_block(dead_from, 0), end = schema::checkpoint_block(generation, 0);
    TRY_ASSIGN(const bool any, db.any_key_in(Family::kCheckpoints, begin, end));
    if (any) db.erase(batch, Family::kCheckpoints, begin, end);
    dead_from = generation + 1;
  }
  if (batch.Count() == 0) return {};
  TRY(db.write(batch, Database::Durability::kUnlogged));
  return db.compact(Family::kCheckpoints, may_grow);
}

}  // namespace reform
