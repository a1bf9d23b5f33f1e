#include "storage/context/state_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/try.h"
#include "storage/format/bytes.h"

namespace reform {
namespace {

using schema::Family;
using schema::Kind;

constexpr uint64_t kBatchPieces = 256;

std::string_view piece_of(const ContextState& state, uint64_t piece) {
  return std::string_view(state.sources).substr(piece * schema::kSourcesPieceBytes, schema::kSourcesPieceBytes);
}

Result<std::string> read_pieces(const Database& db, uint64_t n_pieces) {
  std::string text;
  for (uint64_t begin = 0; begin < n_pieces; begin += kBatchPieces) {
    std::vector<uint64_t> blocks(std::min(kBatchPieces, n_pieces - begin));
    std::iota(blocks.begin(), blocks.end(), schema::kFirstSourcesBlock + begin);
    TRY_ASSIGN(const BlockBatch batch, db.read(Family::kManifest, Kind::kSourcesPiece, blocks));
    for (const auto piece : batch.payloads) {
      if (piece.size() != schema::kSourcesPieceBytes) {
        return Status{Code::kCorrupt, fmt::format("{}: a piece of the list of sources has {} bytes instead of {}",
                                                  db.tag().text(), piece.size(), schema::kSourcesPieceBytes)};
      }
      text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    }
  }
  return text;
}

}  // namespace

void put_state(const Database& db, rocksdb::WriteBatch& batch, const ContextState& before, const ContextState& now) {
  const uint64_t n_before = n_sources_pieces(before), n_now = n_sources_pieces(now);
  for (uint64_t i = 0; i < n_now; ++i) {
    const std::string_view piece = piece_of(now, i);
    if (i < n_before && piece == piece_of(before, i)) continue;
    db.put(batch, Family::kManifest, Kind::kSourcesPiece, schema::kFirstSourcesBlock + i, as_bytes(piece),
           schema::kPiecesVersion);
  }
  if (n_now < n_before) {
    db.erase(batch, Family::kManifest, schema::kFirstSourcesBlock + n_now, schema::kFirstSourcesBlock + n_before);
  }
  db.put(batch, Family::kManifest, Kind::kState, schema::kStateBlock, as_bytes(encode_state(now)),
         n_now > 0 ? schema::kPiecesVersion : schema::kFormatVersion);
}

Result<ContextState> read_state(const Database& db, int32_t block_tokens) {
  TRY_ASSIGN(const std::string record, db.read_one(Family::kManifest, Kind::kState, schema::kStateBlock));
  uint64_t n_pieces = 0;
  auto state = decode_state(as_bytes(record), block_tokens, n_pieces);
  if (!state.ok()) {
    return Status{state.status().code, fmt::format("{}: state record {}", db.tag().text(), state.status().message)};
  }
  TRY_ASSIGN(const std::string pieces, read_pieces(db, n_pieces));
  state.value().sources.insert(0, pieces);
  return state;
}

}  // namespace reform
