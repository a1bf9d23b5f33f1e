#include "storage/disk/rocksdb_files/version_log.h"

#include <rocksdb/file_checksum.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>

#include "storage/format/bytes.h"

namespace reform {
namespace {

// A log is cut into blocks, and no record crosses a block's end. Header: checksum, length, type.
constexpr size_t kBlockBytes = 32768, kTypeAt = 6, kHeaderBytes = 7;
constexpr uint8_t kFirstType = 1, kLastType = 4;  // full, first, middle, last: the types in a log that is never reused
constexpr uint32_t kMaskDelta = 0xa282ead8;

// CRC-32C as RocksDB stores it, masked.
uint32_t masked_checksum(std::string_view bytes) {
  const auto checksum = rocksdb::GetFileChecksumGenCrc32cFactory()->CreateFileChecksumGenerator({});
  checksum->Update(bytes.data(), bytes.size());
  checksum->Finalize();
  uint32_t crc = 0;
  for (const char c : checksum->GetChecksum()) crc = crc << 8 | uint8_t(c);
  return std::rotr(crc, 15) + kMaskDelta;
}

// The size of the record at `at` with its header; 0 if there is none, or not a whole one.
size_t record_bytes(std::string_view log, size_t at) {
  const size_t left = std::min(kBlockBytes - at % kBlockBytes, log.size() - at);
  if (left < kHeaderBytes) return 0;
  ByteReader header(as_bytes(log.substr(at, kHeaderBytes)));
  const auto checksum = header.fixed<uint32_t>();
  const size_t bytes = kHeaderBytes + header.fixed<uint16_t>();
  const auto type = header.fixed<uint8_t>();
  if (type < kFirstType || type > kLastType || bytes > left) return 0;
  return masked_checksum(log.substr(at + kTypeAt, bytes - kTypeAt)) == checksum ? bytes : 0;
}

}  // namespace

size_t sound_log_bytes(std::string_view log, uint64_t synced_bytes) {
  size_t at = 0;
  while (at < log.size()) {
    const size_t left_of_block = kBlockBytes - at % kBlockBytes;
    // The rest of the block has no room for a header; it is padding.
    const size_t bytes = left_of_block < kHeaderBytes ? left_of_block : record_bytes(log, at);
    if (bytes == 0) return at < synced_bytes ? log.size() : at;
    at += bytes;
  }
  return log.size();
}

}  // namespace reform
