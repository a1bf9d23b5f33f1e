#include "storage/format/chunk_kind.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "storage/format/block_codec.h"

namespace reform {
namespace {

using Shape = ChunkKind::Shape;

std::vector<const ChunkKind*>& known_kinds() {
  static std::vector<const ChunkKind*> kinds = [] {
    std::vector<const ChunkKind*> shipped;
    for (const ChunkKind& kind : kChunkKinds) shipped.push_back(&kind);
    return shipped;
  }();
  return kinds;
}

template <class Wanted>
const ChunkKind* find(const Wanted& wanted) {
  const auto& kinds = known_kinds();
  const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const ChunkKind* kind) { return wanted(*kind); });
  return found == kinds.end() ? nullptr : *found;
}

// Names come from files and appear in messages.
bool is_kind_name(const std::string& name) {
  return name.size() <= 32 &&
         std::all_of(name.begin(), name.end(), [](char c) { return c == '_' || (c >= 'a' && c <= 'z'); });
}

bool may_have_rows(Shape shape, int32_t bytes) {
  return shape == Shape::kRows ? bytes >= 1 && bytes <= schema::kMaxRowBytes : bytes == 0;
}

}  // namespace

const ChunkKind* find_chunk_kind(const std::string& name) {
  return find([&](const ChunkKind& kind) { return kind.name == name; });
}
const ChunkKind* find_chunk_kind(schema::Kind number) {
  return find([&](const ChunkKind& kind) { return kind.kind == number; });
}
const ChunkKind* find_chunk_kind(schema::Family family) {
  return find([&](const ChunkKind& kind) { return kind.family == family; });
}
const ChunkKind* find_section(uint8_t section) {
  return find([&](const ChunkKind& kind) { return kind.section == section; });
}

void add_chunk_kind(const ChunkKind& kind) {
  CHECK(find_chunk_kind(kind.name) == nullptr && find_chunk_kind(kind.kind) == nullptr);
  CHECK(find_chunk_kind(kind.family) == nullptr && find_section(kind.section) == nullptr);
  CHECK(size_t(kind.family) < schema::kMaxFamilies && kind.shape != Shape::kTokens);
  known_kinds().push_back(&kind);
}

int64_t ContextKind::n_values(const BlockMap& map) const {
  return kind->shape == Shape::kWhole ? map.n_chunks() : map.n_blocks();
}

TokenRange ContextKind::tokens(const BlockMap& map, int64_t i) const {
  return kind->shape == Shape::kWhole ? map.chunk(i) : map.block(i);
}

BlockPlace ContextKind::place(const BlockMap& map, int64_t i) const {
  const TokenRange range = tokens(map, i);
  const auto block = uint64_t(range.begin);
  switch (kind->shape) {
    case Shape::kTokens:
      return {block, max_span_bytes(range.n_tokens()), /*at_most=*/true};
    case Shape::kRows:
      return {block, range.n_tokens() * row_bytes};
    case Shape::kWhole:
      break;
  }
  return {block, schema::kMaxBlockBytes, /*at_most=*/true};
}

Result<std::vector<ContextKind>> kinds_of(int32_t row_bytes, const ExtraKinds& extra) {
  std::vector<ContextKind> kinds = {{&kTokenSpans, 0}, {&kEmbeddingRows, row_bytes}};
  for (const auto& [name, bytes] : extra) {
    const ChunkKind* kind = find_chunk_kind(name);
    if (kind == nullptr || kind == &kTokenSpans || kind == &kEmbeddingRows) {
      return Status{Code::kCorrupt, fmt::format("keeps \"{}\" for each chunk, which this program does not know: use a "
                                                "newer reform (or the data is damaged)",
                                                is_kind_name(name) ? name : "?")};
    }
    kinds.push_back({kind, bytes});
  }
  for (const ContextKind& held : kinds) {
    if (may_have_rows(held.kind->shape, held.row_bytes)) continue;
    return Status{Code::kCorrupt,
                  fmt::format("has \"{}\" of {} bytes per token, which cannot be", held.kind->name, held.row_bytes)};
  }
  return kinds;
}

int32_t block_tokens_for(int32_t row_bytes, const ExtraKinds& extra) {
  for (const auto& [name, bytes] : extra) row_bytes = std::max(row_bytes, bytes);
  return int32_t(std::clamp(schema::kMaxBlockBytes / row_bytes, int64_t{1}, schema::kMaxBlockTokens));
}

}  // namespace reform
