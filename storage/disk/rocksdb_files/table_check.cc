#include "storage/disk/rocksdb_files/table_check.h"

#include <fmt/format.h>
#include <rocksdb/file_system.h>
#include <xxhash.h>

#include <memory>

#include "base/try.h"
#include "storage/disk/disk.h"
#include "storage/format/bytes.h"

namespace reform {
namespace {

// RocksDB's block-based table, format version 5. Footer: checksum type, handles of metaindex and index in 40 bytes,
// version, magic number. A block is followed by its compression type and checksum.
constexpr size_t kFooterBytes = 53, kHandlesBytes = 40, kTrailerBytes = 5;
constexpr uint32_t kFormatVersion = 5;
constexpr uint64_t kMagic = 0x88e241b785f4cff7;
constexpr uint8_t kXxh3 = 4, kNoCompression = 0;
constexpr uint64_t kMaxBlockBytes = uint64_t{16} << 20;

struct Handle {
  uint64_t offset = 0, bytes = 0;
};

Status damaged(const char* what) { return {Code::kCorrupt, fmt::format("its {} is damaged", what)}; }

class Table {
 public:
  Table(rocksdb::FileSystem& files, const std::string& path) : files_(files), path_(path) {}
  Status check();

 private:
  Result<std::string> read(uint64_t offset, size_t n_bytes);
  Result<std::string> read_block(const Handle& handle, const char* what);

  rocksdb::FileSystem& files_;
  const std::string& path_;
  std::unique_ptr<rocksdb::FSRandomAccessFile> file_;
  uint64_t file_bytes_ = 0;
};

Result<std::string> Table::read(uint64_t offset, size_t n_bytes) {
  std::string bytes(n_bytes, '\0');
  rocksdb::Slice got;
  TRY(disk_status(file_->Read(offset, n_bytes, {}, &got, bytes.data(), nullptr), "read", path_));
  return got.ToString();
}

Result<std::string> Table::read_block(const Handle& handle, const char* what) {
  const uint64_t room = file_bytes_ - kFooterBytes;
  if (handle.bytes > kMaxBlockBytes || handle.bytes + kTrailerBytes > room ||
      handle.offset > room - handle.bytes - kTrailerBytes) {
    return damaged(what);
  }
  TRY_ASSIGN(std::string block, read(handle.offset, size_t(handle.bytes) + kTrailerBytes));
  if (block.size() != handle.bytes + kTrailerBytes) return damaged(what);
  ByteReader trailer(as_bytes(block).subspan(size_t(handle.bytes)));
  const auto compression = trailer.fixed<uint8_t>();
  const auto stored = trailer.fixed<uint32_t>();
  // RocksDB's XXH3: the low half of the block's checksum, changed by the compression type.
  const auto found = uint32_t(XXH3_64bits(block.data(), size_t(handle.bytes))) ^ (compression * uint32_t{0x6b9083d9});
  if (stored != found || compression != kNoCompression) return damaged(what);
  block.resize(size_t(handle.bytes));
  return block;
}

Result<Handle> find_properties(const std::string& metaindex) {
  constexpr size_t kRestartBytes = 4;
  if (metaindex.size() < kRestartBytes) return damaged("metaindex");
  ByteReader in(as_bytes(metaindex).first(metaindex.size() - kRestartBytes));
  std::string key;
  while (in.ok() && in.left() > 0) {  // the restart points after the entries look like no key that we want
    const uint64_t n_shared = in.varint(), n_own = in.varint(), n_value = in.varint();
    if (n_shared > key.size() || n_own > in.left()) break;
    const auto own = in.bytes(size_t(n_own));
    key.replace(size_t(n_shared), std::string::npos, reinterpret_cast<const char*>(own.data()), own.size());
    if (n_value > in.left()) break;
    ByteReader value(in.bytes(size_t(n_value)));
    if (key == "rocksdb.properties") return Handle{value.varint(), value.varint()};
  }
  return damaged("metaindex");
}

Status Table::check() {
  TRY(disk_status(files_.GetFileSize(path_, {}, &file_bytes_, nullptr), "look at", path_));
  if (file_bytes_ < kFooterBytes) return damaged("footer");
  TRY(disk_status(files_.NewRandomAccessFile(path_, {}, &file_, nullptr), "open", path_));
  TRY_ASSIGN(const std::string footer, read(file_bytes_ - kFooterBytes, kFooterBytes));
  if (footer.size() != kFooterBytes) return damaged("footer");
  ByteReader in(as_bytes(footer));
  const auto checksum_type = in.fixed<uint8_t>();
  ByteReader handles(in.bytes(kHandlesBytes));
  const auto version = in.fixed<uint32_t>();
  if (in.fixed<uint64_t>() != kMagic) return damaged("footer");
  if (version != kFormatVersion) return damaged("footer");  // we write no other
  if (checksum_type != kXxh3) return damaged("footer");     // without it RocksDB would check nothing
  TRY_ASSIGN(const std::string metaindex, read_block({handles.varint(), handles.varint()}, "metaindex"));
  TRY_ASSIGN(const Handle properties, find_properties(metaindex));
  return as_status(read_block(properties, "properties"));
}

}  // namespace

Status check_table_properties(rocksdb::FileSystem& files, const std::string& path) {
  return Table(files, path).check();
}

}  // namespace reform
