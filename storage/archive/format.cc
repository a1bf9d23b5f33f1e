#include "storage/archive/format.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "storage/format/bytes.h"

namespace reform::archive {
namespace {

// As PNG's: a first byte that is no text, and line ends of both kinds, so that a copy in text mode is found at once.
constexpr std::string_view kMagic = "\x89RFM\r\n\x1a\n";
static_assert(kMagic.size() == 8);

// Bytes read at a time. A length that promises more than there is costs no more memory than this.
constexpr int64_t kReadBytes = int64_t{1} << 20;

Status corrupt(const std::string& what) { return {Code::kCorrupt, what}; }
Status impossible() { return corrupt("holds impossible values"); }

uint64_t section_checksum(std::string_view header_and_payload) {
  return XXH3_64bits(header_and_payload.data(), header_and_payload.size());
}

Status read_checkpoints(ByteReader& in, ContextState& state) {
  constexpr int64_t kMaxBytes = int64_t(schema::kMaxPiece) * schema::kPieceBytes;
  const uint64_t n = in.varint();
  if (n > kMaxCheckpoints) return impossible();
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    const CheckpointRef ref{in.count(), state.next_generation++, in.count()};
    const bool ordered = state.checkpoints.empty() || ref.n_tokens > state.checkpoints.back().n_tokens;
    if (!ordered || !state.blocks.is_chunk_boundary(ref.n_tokens) || ref.bytes > kMaxBytes) return impossible();
    state.checkpoints.push_back(ref);
  }
  return {};
}

Status read_extra_kinds(ByteReader& in, Identity& identity) {
  if (!in.ok() || in.left() == 0) return {};
  const uint64_t n = in.varint();
  if (n < 1 || n > schema::kMaxFamilies) return impossible();
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    const std::string name = in.text();
    if (!identity.extra_kinds.emplace(name, in.fixed<int32_t>()).second) return impossible();
  }
  TRY(kinds_of(identity.row_bytes, identity.extra_kinds));
  const bool fit = identity.block_tokens <= block_tokens_for(identity.row_bytes, identity.extra_kinds);
  return fit ? Status{} : impossible();
}

}  // namespace

std::string encode_manifest(const Manifest& manifest) {
  const auto& [identity, state] = manifest;
  std::string payload;
  ByteWriter out(payload);
  out.text(identity.name);
  out.fixed(identity.row_bytes);
  out.fixed(identity.block_tokens);
  out.fixed(state.n_bytes);
  encode_runs(out, state.blocks);
  out.varint(state.checkpoints.size());
  for (const CheckpointRef& c : state.checkpoints) out.varint(uint64_t(c.n_tokens)), out.varint(uint64_t(c.bytes));
  out.text(identity.settings);
  out.text(state.sources);
  out.text(state.progress);
  if (!identity.extra_kinds.empty()) {  // a context without extra kinds has not a byte more
    out.varint(identity.extra_kinds.size());
    for (const auto& [name, row_bytes] : identity.extra_kinds) out.text(name), out.fixed(row_bytes);
  }
  return payload;
}

Result<Manifest> decode_manifest(std::span<const std::byte> payload) {
  ByteReader in(payload);
  Manifest manifest;
  auto& [identity, state] = manifest;
  identity.name = in.text();
  identity.row_bytes = in.fixed<int32_t>();
  identity.block_tokens = in.fixed<int32_t>();
  state.n_bytes = in.fixed<int64_t>();
  if (!in.ok() || state.n_bytes < 0 || identity.row_bytes < 1 || identity.row_bytes > schema::kMaxRowBytes ||
      identity.block_tokens < 1 || identity.block_tokens > block_tokens_for(identity.row_bytes)) {
    return impossible();
  }
  state.blocks = BlockMap(identity.block_tokens);
  TRY(decode_runs(in, kMaxRuns, state.blocks));
  TRY(read_checkpoints(in, state));
  identity.settings = in.text();
  state.sources = in.text();
  state.progress = in.text();
  TRY(read_extra_kinds(in, identity));
  if (!in.at_end()) return impossible();
  return manifest;
}

std::string describe_section(Section kind, uint64_t number) {
  switch (kind) {
    case Section::kManifest:
      return "manifest";
    case Section::kCheckpointIndex:
      return fmt::format("checkpoint index at {} tokens", number);
    case Section::kCheckpointPiece:
      return fmt::format("checkpoint piece {}", number);
    case Section::kEnd:
      return "end";
  }
  if (const ChunkKind* left = find_section(uint8_t(kind))) return fmt::format("{} {}", left->block_name, number);
  return fmt::format("a section of unknown kind {}", int(kind));
}

Status Writer::put(const std::string& bytes) {
  TRY(sink_(as_bytes(bytes)));
  bytes_ += int64_t(bytes.size());
  return {};
}

Status Writer::begin() {
  std::string header(kMagic);
  ByteWriter out(header);
  out.fixed(kVersion);
  out.bytes(as_bytes(std::string_view("\0\0\0\0\0\0", 6)));
  hash_.add(header.data(), header.size());
  return put(header);
}

Status Writer::add(Section kind, uint64_t number, std::span<const std::byte> payload) {
  section_.clear();
  ByteWriter out(section_);
  out.fixed(uint8_t(kind));
  out.bytes(as_bytes(std::string_view("\0\0\0", 3)));
  out.fixed(uint32_t(payload.size()));
  out.fixed(number);
  out.bytes(payload);
  out.fixed(section_checksum(section_));
  if (kind != Section::kEnd) hash_.add(section_.data(), section_.size());
  ++n_sections_;
  return put(section_);
}

Status Writer::end() { return add(Section::kEnd, n_sections_, as_bytes(hash_.bytes())); }

Status Reader::read(int64_t n_bytes, const std::string& what) {
  while (n_bytes > 0) {
    const int64_t step = std::min(n_bytes, kReadBytes);
    const size_t before = section_.size();
    if (int64_t(before) + step > reserved_) {
      // The string frees its old room only after the new room is there, so it holds both meanwhile.
      const int64_t wanted = std::max(2 * reserved_, int64_t(before) + step);
      TRY_ASSIGN(memory_, Reservation::create(account_, MemoryCategory::kStore, wanted));
      reserved_ = wanted;
      section_.reserve(size_t(wanted));
    }
    section_.resize(before + size_t(step));
    TRY_ASSIGN(const int64_t got, source_({reinterpret_cast<std::byte*>(section_.data()) + before, size_t(step)}));
    CHECK(got >= 0 && got <= step);
    section_.resize(before + size_t(got));
    if (got == 0) return corrupt(fmt::format("ends within its {}: it was cut short", what));
    bytes_ += got;
    n_bytes -= got;
  }
  return {};
}

Status Reader::begin() {
  section_.clear();
  if (const Status header = read(int64_t(kFileHeaderBytes), "header"); !header.ok()) {
    const bool ours = std::string_view(section_).starts_with(kMagic) || kMagic.starts_with(section_);
    return header.code != Code::kCorrupt ? header
           : section_.empty()            ? corrupt("is empty")
           : ours                        ? header
                                         : corrupt("is no export of a context");
  }
  if (!std::string_view(section_).starts_with(kMagic)) return corrupt("is no export of a context");
  ByteReader in(as_bytes(section_).subspan(kMagic.size()));
  const auto version = in.fixed<uint16_t>();
  if (version > kVersion) {
    return corrupt(
        fmt::format("has archive version {}, this program reads up to {}: use a newer reform (or the data is "
                    "damaged)",
                    version, kVersion));
  }
  if (version < 1)
    return corrupt(fmt::format("has archive version {}, this program reads 1 to {}: it is damaged", version, kVersion));
  if (section_.find_first_not_of('\0', kMagic.size() + sizeof version) != std::string::npos)
    return corrupt("has a damaged header");
  hash_.add(section_.data(), section_.size());
  return {};
}

Result<std::span<const std::byte>> Reader::next(Section kind, uint64_t number, int64_t min_bytes, int64_t max_bytes) {
  const std::string what = describe_section(kind, number);
  section_.clear();
  TRY(read(int64_t(kSectionHeaderBytes), what));
  ByteReader in(as_bytes(section_));
  const auto found_kind = in.fixed<uint8_t>();
  const auto zeros = in.bytes(3);
  const auto n_bytes = int64_t(in.fixed<uint32_t>());
  const auto found_number = in.fixed<uint64_t>();
  const bool zero = std::all_of(zeros.begin(), zeros.end(), [](std::byte b) { return b == std::byte{0}; });
  if (found_kind != uint8_t(kind) || found_number != number || !zero) {
    return corrupt(
        fmt::format("has {} where its {} should be", describe_section(Section(found_kind), found_number), what));
  }
  if (n_bytes < min_bytes || n_bytes > max_bytes)
    return corrupt(fmt::format("its {} has {} bytes, which it cannot have", what, n_bytes));
  TRY(read(n_bytes + int64_t(kSectionChecksumBytes), what));
  const std::string_view covered = std::string_view(section_).substr(0, section_.size() - kSectionChecksumBytes);
  ByteReader tail(as_bytes(std::string_view(section_).substr(covered.size())));
  if (tail.fixed<uint64_t>() != section_checksum(covered))
    return corrupt(fmt::format("its {} fails its checksum", what));
  if (kind != Section::kEnd) hash_.add(section_.data(), section_.size());
  ++n_sections_;
  return as_bytes(section_).subspan(kSectionHeaderBytes, size_t(n_bytes));
}

Status Reader::end() {
  TRY_ASSIGN(const auto payload, next(Section::kEnd, n_sections_, kEndPayloadBytes, kEndPayloadBytes));
  if (std::memcmp(payload.data(), hash_.bytes().data(), kEndPayloadBytes) != 0)
    return corrupt("fails the checksum over all of it");
  std::byte more;
  TRY_ASSIGN(const int64_t n_more, source_({&more, 1}));
  return n_more == 0 ? Status{} : corrupt("goes on after its end");
}

}  // namespace reform::archive
