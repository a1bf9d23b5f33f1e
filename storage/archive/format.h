// The archive: one context as one portable file (docs/FORMAT.md). Here are its framing, checksums and first section.
// The other sections hold the store's block formats.
//
// Deterministic: the same context gives the same bytes. So an archive holds no ids, dates, paths or counters of writes.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <span>
#include <string>

#include "base/hash.h"
#include "base/memory.h"
#include "storage/context/manifest.h"
#include "storage/format/byte_stream.h"

namespace reform {

namespace archive {

// A format that an older program would misread raises it. Every version from 1 on can be imported.
constexpr uint16_t kVersion = 1;

enum class Section : uint8_t {
  kManifest = 1,
  // 2, 3 and the numbers of further kinds: what chunks left (ChunkKind::section), a value each, numbered as in the
  // store
  kCheckpointIndex = 4,  // numbered by the tokens before the checkpoint
  kCheckpointPiece = 5,  // numbered from 1 in each checkpoint
  kEnd = 6,              // numbered by how many sections came before it: XXH3-128 over all bytes before it
};

constexpr size_t kFileHeaderBytes = 16, kSectionHeaderBytes = 16, kSectionChecksumBytes = 8, kEndPayloadBytes = 16;
// The reader accepts nothing larger, whatever a length says.
constexpr int64_t kMaxManifestBytes = int64_t{16} << 20, kMaxIndexBytes = int64_t{1} << 20;
constexpr uint64_t kMaxRuns = uint64_t{1} << 20, kMaxCheckpoints = uint64_t{1} << 10;

// The context's own records. The archive leaves out what differs between equal contexts (id, date, sequence,
// generations) and `complete`. decode_manifest() numbers the checkpoints' generations 1, 2, …
struct Manifest {
  Identity identity;
  ContextState state;
};

std::string encode_manifest(const Manifest& manifest);
Result<Manifest> decode_manifest(std::span<const std::byte> payload);  // kCorrupt: "holds impossible values"

// "token block 4096", "checkpoint piece 3", for messages.
std::string describe_section(Section kind, uint64_t number);

class Writer {
 public:
  explicit Writer(ByteSink sink) : sink_(std::move(sink)) {}
  Status begin();
  Status add(Section kind, uint64_t number, std::span<const std::byte> payload);
  Status end();
  int64_t bytes() const { return bytes_; }            // written so far
  std::string digest() const { return hash_.hex(); }  // after end()

 private:
  Status put(const std::string& bytes);
  ByteSink sink_;
  RunningHash hash_;     // of all before the end section
  std::string section_;  // the section that is being assembled
  uint64_t n_sections_ = 0;
  int64_t bytes_ = 0;
};

// Reads an archive from its beginning and trusts no byte of it. Every error except the source's own is kCorrupt and
// names the part. Memory grows with the bytes that really came, never with what a length promises.
class Reader {
 public:
  Reader(ByteSource source, MemoryAccount& account) : source_(std::move(source)), account_(account) {}
  Status begin();
  // Reads the next section, which must be this one, of min to max bytes. The payload lives until the next call.
  Result<std::span<const std::byte>> next(Section kind, uint64_t number, int64_t min_bytes, int64_t max_bytes);
  Status end();  // the end section; nothing may follow it
  int64_t bytes() const { return bytes_; }
  std::string digest() const { return hash_.hex(); }  // after end()

 private:
  Status read(int64_t n_bytes, const std::string& what);  // appends to section_
  ByteSource source_;
  MemoryAccount& account_;
  Reservation memory_;
  int64_t reserved_ = 0;
  RunningHash hash_;     // of all before the end section
  std::string section_;  // header, payload, checksum
  uint64_t n_sections_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace archive
}  // namespace reform
