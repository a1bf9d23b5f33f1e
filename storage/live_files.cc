#include "storage/live_files.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/file_checksum.h>
#include <rocksdb/file_system.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>

#include <memory>

#include "base/try.h"
#include "base/units.h"
#include "storage/files.h"
#include "storage/table_check.h"

namespace reform {
namespace {

constexpr size_t kReadBytes = size_t(1 * kMiB);

Status check_table_blocks(const Disk& disk, const std::string& path) {
  TRY(check_table_properties(disk, path));
  rocksdb::Options options;
  options.env = disk.env();
  rocksdb::SstFileReader reader(options);
  rocksdb::Status status = reader.Open(path);
  if (status.ok()) status = reader.VerifyChecksum();
  if (status.ok()) return {};
  return {status.IsIOError() ? Code::kIo : Code::kCorrupt, status.ToString()};
}

Result<std::string> checksum_of(const Disk& disk, const std::string& path,
                                const std::function<Status(int64_t)>& on_bytes) {
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  TRY(disk_status(disk.files().NewSequentialFile(path, {}, &file, nullptr), "open", path));
  const auto crc = rocksdb::GetFileChecksumGenCrc32cFactory()->CreateFileChecksumGenerator({});
  std::string buffer(kReadBytes, '\0');
  while (true) {
    rocksdb::Slice got;
    TRY(disk_status(file->Read(buffer.size(), {}, &got, buffer.data(), nullptr), "read", path));
    if (got.empty()) break;
    crc->Update(got.data(), got.size());
    TRY(on_bytes(int64_t(got.size())));
  }
  crc->Finalize();
  return crc->GetChecksum();
}

}  // namespace

Result<std::vector<LiveFile>> list_live_files(rocksdb::DB& db, const std::string& dir) {
  const std::unique_ptr<rocksdb::FileChecksumList> list(rocksdb::NewFileChecksumList());
  std::vector<uint64_t> numbers;
  std::vector<std::string> checksums, methods;
  rocksdb::Status status = db.GetLiveFilesChecksumInfo(list.get());
  if (status.ok()) status = list->GetAllFileChecksums(&numbers, &checksums, &methods);
  if (!status.ok()) return Status{Code::kCorrupt, "its files cannot be listed: " + status.ToString()};
  std::vector<LiveFile> files;
  for (size_t i = 0; i < numbers.size(); ++i) {
    LiveFile file;
    file.name = fmt::format("{:06}.sst", numbers[i]);
    if (!path_exists(dir + "/" + file.name)) file.name = fmt::format("{:06}.blob", numbers[i]);
    const auto bytes = file_bytes(dir + "/" + file.name);
    if (!bytes.ok()) return Status{Code::kCorrupt, fmt::format("file {:06} is missing", numbers[i])};
    file.bytes = bytes.value();
    if (methods[i] == rocksdb::kStandardDbFileChecksumFuncName) file.checksum = checksums[i];
    files.push_back(std::move(file));
  }
  return files;
}

Status check_live_file(const Disk& disk, const std::string& dir, const LiveFile& file,
                       const std::function<Status(int64_t)>& on_bytes) {
  const std::string path = dir + "/" + file.name;
  if (!file.checksum.empty()) {
    TRY_ASSIGN(const std::string found, checksum_of(disk, path, on_bytes));
    if (found == file.checksum) return {};
    return {Code::kCorrupt, fmt::format("file {} fails its checksum", file.name)};
  }
  if (file.name.ends_with(".sst")) {
    if (const Status blocks = check_table_blocks(disk, path); !blocks.ok())
      return {blocks.code, fmt::format("file {}: {}", file.name, blocks.message)};
  }
  return on_bytes(file.bytes);
}

}  // namespace reform
