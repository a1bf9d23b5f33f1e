#include "storage/format/frame.h"

#include <fmt/format.h>
#define XXH_STATIC_LINKING_ONLY  // XXH3_state_t on the stack
#include <xxhash.h>

#include "base/try.h"
#include "storage/format/bytes.h"
#include "storage/format/chunk_kind.h"

namespace reform {
namespace {

using schema::Kind;

uint64_t frame_checksum(std::string_view context_id, std::string_view header_and_payload) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, context_id.data(), context_id.size());
  XXH3_64bits_update(&state, header_and_payload.data(), header_and_payload.size());
  return XXH3_64bits_digest(&state);
}

Status damaged(const ContextTag& tag, Kind kind, uint64_t block, const std::string& why) {
  return {Code::kCorrupt, fmt::format("{}: {} {}", tag.text(), describe_block(kind, block), why)};
}

}  // namespace

std::string ContextTag::text() const {
  return name.empty() ? fmt::format("context {}", id) : fmt::format("context \"{}\" ({})", name, id);
}

std::string frame_value(std::string_view context_id, Kind kind, uint64_t block, std::span<const std::byte> payload,
                        uint16_t version) {
  std::string value;
  value.reserve(payload.size() + schema::kFrameBytes);
  ByteWriter out(value);
  out.fixed(version);
  out.fixed(uint8_t(kind));
  out.fixed(uint8_t{0});
  out.fixed(uint32_t(payload.size()));
  out.fixed(block);
  out.bytes(payload);
  out.fixed(frame_checksum(context_id, value));
  return value;
}

Result<std::span<const std::byte>> unframe_value(const ContextTag& tag, Kind kind, uint64_t block,
                                                 std::string_view value) {
  if (value.size() < schema::kFrameBytes) {
    return damaged(tag, kind, block, fmt::format("has {} bytes, fewer than its frame", value.size()));
  }
  ByteReader in(as_bytes(value));
  const auto version = in.fixed<uint16_t>();
  // The version comes first: in a newer format the rest may look different.
  TRY(check_format(fmt::format("{}: {}", tag.text(), describe_block(kind, block)), version));
  const auto stored_kind = in.fixed<uint8_t>();
  in.fixed<uint8_t>();
  const auto payload_bytes = in.fixed<uint32_t>();
  const auto stored_block = in.fixed<uint64_t>();
  const std::string_view covered = value.substr(0, value.size() - schema::kChecksumBytes);
  ByteReader tail(as_bytes(value.substr(covered.size())));
  if (tail.fixed<uint64_t>() != frame_checksum(tag.id, covered)) {
    return damaged(tag, kind, block, "fails its checksum");
  }
  if (stored_kind != uint8_t(kind) || stored_block != block) {
    return damaged(tag, kind, block, fmt::format("holds {}", describe_block(Kind(stored_kind), stored_block)));
  }
  if (payload_bytes != value.size() - schema::kFrameBytes) return damaged(tag, kind, block, "has a wrong length");
  return as_bytes(value).subspan(schema::kFrameHeaderBytes, payload_bytes);
}

std::string describe_block(Kind kind, uint64_t block) {
  switch (kind) {
    case Kind::kIdentity:
      return "identity record";
    case Kind::kState:
      return "state record";
    case Kind::kCheckpointIndex:
    case Kind::kCheckpointPiece:
      return fmt::format("checkpoint {} piece {}", block >> schema::kPieceBits, block & schema::kMaxPiece);
    case Kind::kSourcesPiece:
      return fmt::format("piece {} of the list of sources", block - schema::kFirstSourcesBlock);
    default:
      break;
  }
  if (const ChunkKind* left = find_chunk_kind(kind)) return fmt::format("{} {}", left->block_name, block);
  return fmt::format("a value of unknown kind {}", int(kind));
}

Status check_format(const std::string& what, uint64_t version) {
  if (version > schema::kNewestFormatVersion) {
    return {Code::kCorrupt, fmt::format("{}: has format version {}, this program reads up to {}: use a newer reform "
                                        "(or the data is damaged)",
                                        what, version, schema::kNewestFormatVersion)};
  }
  if (version >= schema::kOldestFormatVersion) return {};
  return {Code::kCorrupt, fmt::format("{}: has format version {}, this program reads {} and later: export it with the "
                                      "reform that made it and import that (or the data is damaged)",
                                      what, version, schema::kOldestFormatVersion)};
}

uint64_t checksum_bytes(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace reform
