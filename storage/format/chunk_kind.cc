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

// 0: the kind has no rows.
int64_t most_row_bytes(Shape shape) {
  switch (shape) {
    case Shape::kRows:
      return schema::kMaxRowBytes;
    case Shape::kPageRows:
      return schema::kMaxBlockBytes / schema::kPageTokens;
    case Shape::kPages:
      return schema::kMaxBlockBytes;
    case Shape::kTokens:
    case Shape::kWhole:
      break;
  }
  return 0;
}

bool may_have_rows(Shape shape, int32_t bytes) {
  const int64_t most = most_row_bytes(shape);
  return most == 0 ? bytes == 0 : bytes >= 1 && bytes <= most;
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

BlockMap ContextKind::values(const BlockMap& map) const {
  switch (kind->shape) {
    case Shape::kTokens:
    case Shape::kRows:
      break;
    case Shape::kPageRows:
    case Shape::kPages:
      return map.cut_in(schema::kPageTokens);
    case Shape::kWhole:
      return map.cut_in(schema::kMaxTokens);
  }
  return map;
}

BlockPlace ContextKind::place(TokenRange value) const {
  const auto block = uint64_t(value.begin);
  switch (kind->shape) {
    case Shape::kTokens:
      return {block, max_span_bytes(value.n_tokens()), /*at_most=*/true};
    case Shape::kRows:
    case Shape::kPageRows:
      return {block, value.n_tokens() * row_bytes};
    case Shape::kPages:
      return {block, row_bytes};
    case Shape::kWhole:
      break;
  }
  return {block, schema::kMaxBlockBytes, /*at_most=*/true};
}

BlockPlace ContextKind::part_of(int64_t n_tokens) const {
  BlockMap map(n_tokens);
  map.append_chunks(n_tokens, 1);
  const BlockMap chunk = values(map);
  BlockPlace part;
  for (int64_t i = 0; i < chunk.n_blocks(); ++i) {
    const BlockPlace value = place(chunk.block(i));
    part.payload_bytes += value.payload_bytes, part.at_most = value.at_most;
  }
  return part;
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
    return Status{Code::kCorrupt, fmt::format("has \"{}\" of {} bytes per {}, which cannot be", held.kind->name,
                                              held.row_bytes, held.kind->shape == Shape::kPages ? "page" : "token")};
  }
  return kinds;
}

int32_t block_tokens_for(int32_t row_bytes, const ExtraKinds& extra) {
  for (const auto& [name, bytes] : extra) {
    const ChunkKind* const kind = find_chunk_kind(name);
    if (kind != nullptr && kind->shape == Shape::kRows) row_bytes = std::max(row_bytes, bytes);
  }
  return int32_t(std::clamp(schema::kMaxBlockBytes / row_bytes, int64_t{1}, schema::kMaxBlockTokens));
}

}  // namespace reform
