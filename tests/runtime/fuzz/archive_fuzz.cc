// Any bytes as an archive: refused as damaged, or read whole, with values that fit its manifest. The first byte says
// whether checksums are put right first, so that the checks behind them are reached.
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/hash.h"
#include "base/memory.h"
#include "base/try.h"
#include "storage/archive/archive.h"
#include "storage/archive/format.h"
#include "storage/format/bytes.h"

namespace {

using namespace reform;

// Walks the sections as far as possible and writes the checksums they should have.
void put_checksums_right(std::string& bytes) {
  constexpr size_t kHeader = archive::kSectionHeaderBytes, kChecksum = archive::kSectionChecksumBytes;
  for (size_t at = archive::kFileHeaderBytes; bytes.size() > at && bytes.size() - at >= kHeader + kChecksum;) {
    ByteReader in(as_bytes(bytes).subspan(at));
    const auto kind = in.fixed<uint8_t>();
    in.bytes(3);
    const size_t payload = in.fixed<uint32_t>();
    if (payload > bytes.size() - at - kHeader - kChecksum) return;
    if (kind == uint8_t(archive::Section::kEnd) && payload == archive::kEndPayloadBytes) {
      RunningHash hash;
      hash.add(bytes.data(), at);
      bytes.replace(at + kHeader, payload, hash.bytes());
    }
    std::string checksum;
    ByteWriter(checksum).fixed(uint64_t(XXH3_64bits(bytes.data() + at, kHeader + payload)));
    bytes.replace(at + kHeader + payload, kChecksum, checksum);
    at += kHeader + payload + kChecksum;
  }
}

Status read_archive(const std::string& bytes, MemoryAccount& account) {
  size_t at = 0;
  archive::Reader in(
      [&](std::span<std::byte> buffer) -> Result<int64_t> {
        const size_t n = std::min(buffer.size(), bytes.size() - at);
        if (n > 0) std::memcpy(buffer.data(), bytes.data() + at, n);
        at += n;
        return int64_t(n);
      },
      account);
  TRY_ASSIGN(const archive::Manifest manifest, read_archive_manifest(in));
  int64_t n_rows = 0;
  const auto put = [&](schema::Family family, schema::Kind, uint64_t, std::span<const std::byte> payload) -> Status {
    if (family == schema::Family::kEmbeddings) n_rows += int64_t(payload.size()) / manifest.identity.row_bytes;
    return {};
  };
  TRY(read_archive_values(in, manifest, put));
  CHECK(n_rows == manifest.state.blocks.n_tokens());
  CHECK(in.bytes() == int64_t(bytes.size()));
  // What was read can be written and read again.
  CHECK(archive::decode_manifest(as_bytes(archive::encode_manifest(manifest))).ok());
  return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 1) put_checksums_right(bytes);
  MemoryAccount account;
  const Status status = read_archive(bytes, account);
  CHECK(status.ok() || status.code == Code::kCorrupt);
  CHECK(account.current_total_bytes() == 0);
  CHECK(account.peak_total_bytes() <= int64_t(4 * size) + (int64_t{4} << 20));
  return 0;
}
