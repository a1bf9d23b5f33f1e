// Writes the archive fuzz target's first inputs: small archives that between them have every kind of section.
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "storage/archive/format.h"
#include "storage/context/checkpoint.h"
#include "storage/format/block_codec.h"
#include "storage/format/bytes.h"

using namespace reform;

namespace {

std::string archive_of(int64_t chunk_tokens, int64_t n_chunks, int32_t row_bytes, int32_t block_tokens,
                       const std::vector<PartSize>& parts) {
  std::string bytes;
  archive::Writer out([&](std::span<const std::byte> more) -> Status {
    ByteWriter(bytes).bytes(more);
    return {};
  });
  archive::Manifest m;
  m.identity.name = "seed", m.identity.settings = "{\"policy\":\"h2o\"}";
  m.state.sources = "[]", m.state.progress = "{}";
  m.identity.row_bytes = row_bytes, m.identity.block_tokens = block_tokens;
  BlockMap& blocks = m.state.blocks;
  blocks = BlockMap(block_tokens);
  blocks.append_chunks(chunk_tokens, n_chunks);
  m.state.n_bytes = 2 * blocks.n_tokens();
  int64_t part_bytes = 0;
  for (const PartSize& part : parts) part_bytes += part.bytes;
  if (!parts.empty()) m.state.checkpoints = {{chunk_tokens, 1, part_bytes}};
  bool ok = out.begin().ok() && out.add(archive::Section::kManifest, 0, as_bytes(archive::encode_manifest(m))).ok();
  for (int64_t i = 0; i < blocks.n_blocks(); ++i) {
    const TokenRange block = blocks.block(i);
    const auto n = size_t(block.n_tokens());
    const std::string spans = encode_spans(2 * block.begin, std::vector<int32_t>(n, 300), std::vector<uint32_t>(n, 2));
    ok = ok && out.add(archive::Section(kTokenSpans.section), uint64_t(block.begin), as_bytes(spans)).ok();
  }
  for (int64_t i = 0; i < blocks.n_blocks(); ++i) {
    const TokenRange block = blocks.block(i);
    const std::string rows(size_t(block.n_tokens() * row_bytes), 'r');
    ok = ok && out.add(archive::Section(kEmbeddingRows.section), uint64_t(block.begin), as_bytes(rows)).ok();
  }
  if (!parts.empty()) {
    const std::string index = encode_checkpoint_index(parts), piece(size_t(part_bytes), 'p');
    ok = ok && out.add(archive::Section::kCheckpointIndex, uint64_t(chunk_tokens), as_bytes(index)).ok() &&
         out.add(archive::Section::kCheckpointPiece, 1, as_bytes(piece)).ok();
  }
  return ok && out.end().ok() ? bytes : "";
}

void write_seed(const std::string& dir, const char* name, const std::string& archive) {
  for (const char mode : {'\0', '\1'}) {
    std::ofstream out(dir + "/seed-" + name + (mode == 0 ? "-as-is" : "-right"), std::ios::binary);
    out << mode << archive;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  write_seed(argv[1], "plain", archive_of(5, 1, 3, 4096, {}));
  write_seed(argv[1], "blocks", archive_of(5, 3, 2, 2, {{"k 0.0 f16", 7}, {"v 0.0 f16", 0}}));
  write_seed(argv[1], "checkpoint", archive_of(64, 2, 8, 64, {{"k", 100}}));
}
