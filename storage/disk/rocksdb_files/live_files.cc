#include "storage/disk/rocksdb_files/live_files.h"

#include <fmt/format.h>
#include <reform/units.h>
#include <rocksdb/db.h>
#include <rocksdb/file_checksum.h>
#include <rocksdb/file_system.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>
#include <xxhash.h>

#include <memory>

#include "base/try.h"
#include "storage/disk/files.h"
#include "storage/disk/rocksdb_files/table_check.h"
#include "storage/format/bytes.h"

namespace reform {
namespace {

constexpr size_t kReadBytes = size_t(1 * kMiB);

class FileChecksum final : public rocksdb::FileChecksumGenerator {
 public:
  static constexpr const char* kName = "reform.XXH3-64";
  FileChecksum() { XXH3_64bits_reset(state_.get()); }
  void Update(const char* data, size_t n) override { XXH3_64bits_update(state_.get(), data, n); }
  void Finalize() override { ByteWriter(checksum_).fixed(uint64_t(XXH3_64bits_digest(state_.get()))); }
  std::string GetChecksum() const override { return checksum_; }
  const char* Name() const override { return kName; }

 private:
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_{XXH3_createState(), &XXH3_freeState};
  std::string checksum_;
};

class FileChecksums final : public rocksdb::FileChecksumGenFactory {
 public:
  std::unique_ptr<rocksdb::FileChecksumGenerator> CreateFileChecksumGenerator(
      const rocksdb::FileChecksumGenContext&) override {
    return std::make_unique<FileChecksum>();
  }
  const char* Name() const override { return FileChecksum::kName; }
};

Status check_table_blocks(const Disk& disk, const std::string& path) {
  TRY(check_table_properties(disk.files(), path));
  rocksdb::Options options;
  options.env = disk.env();
  rocksdb::SstFileReader reader(options);
  rocksdb::Status status = reader.Open(path);
  if (status.ok()) status = reader.VerifyChecksum();
  if (status.ok()) return {};
  TRY(system_refusal(status));
  return {status.IsIOError() ? Code::kIo : Code::kCorrupt, status.ToString()};
}

Result<std::string> checksum_of(const Disk& disk, const std::string& path,
                                const std::function<Status(int64_t)>& on_bytes) {
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  TRY(disk_status(disk.files().NewSequentialFile(path, {}, &file, nullptr), "open", path));
  FileChecksum checksum;
  std::string buffer(kReadBytes, '\0');
  while (true) {
    rocksdb::Slice got;
    TRY(disk_status(file->Read(buffer.size(), {}, &got, buffer.data(), nullptr), "read", path));
    if (got.empty()) break;
    checksum.Update(got.data(), got.size());
    TRY(on_bytes(int64_t(got.size())));
  }
  checksum.Finalize();
  return checksum.GetChecksum();
}

}  // namespace

std::shared_ptr<rocksdb::FileChecksumGenFactory> file_checksums() { return std::make_shared<FileChecksums>(); }

Result<std::vector<LiveFile>> list_live_files(rocksdb::DB& db, const std::string& dir) {
  const std::unique_ptr<rocksdb::FileChecksumList> list(rocksdb::NewFileChecksumList());
  std::vector<uint64_t> numbers;
  std::vector<std::string> checksums, methods;
  rocksdb::Status status = db.GetLiveFilesChecksumInfo(list.get());
  if (status.ok()) status = list->GetAllFileChecksums(&numbers, &checksums, &methods);
  TRY(system_refusal(status));
  if (!status.ok()) return Status{Code::kCorrupt, "its files cannot be listed: " + status.ToString()};
  std::vector<LiveFile> files;
  for (size_t i = 0; i < numbers.size(); ++i) {
    LiveFile file;
    file.name = fmt::format("{:06}.sst", numbers[i]);
    TRY_ASSIGN(const bool is_table, path_exists(dir + "/" + file.name));
    if (!is_table) file.name = fmt::format("{:06}.blob", numbers[i]);
    const auto bytes = file_bytes(dir + "/" + file.name);
    if (bytes.status().code == Code::kNotFound)
      return Status{Code::kCorrupt, fmt::format("file {:06} is missing", numbers[i])};
    TRY(bytes);
    file.bytes = bytes.value();
    if (methods[i] == FileChecksum::kName) file.checksum = checksums[i];
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
