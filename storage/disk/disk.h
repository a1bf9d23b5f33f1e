// How a store reaches its disk. Every byte that must last, RocksDB's and our own, goes through one rocksdb::FileSystem.
// So there is one place to make it fast, and one where a test injects faults.
//
// Locks (storage/disk/file_lock.h) and looks at what is there (storage/disk/files.h) call the operating system
// directly.
// Thread-safety: from any thread.
#pragma once

#include <reform/status.h>

#include <functional>
#include <memory>
#include <string>

namespace rocksdb {
class Env;
class FileSystem;
struct FileOptions;
class FSSequentialFile;
class IOStatus;
class Status;
}  // namespace rocksdb

namespace reform {

class Disk {
 public:
  // `direct_reads`: readers open their files with O_DIRECT, so that scanning an index does not fill the machine's page
  // cache. `description`: what `files` is, in a few words. `remark`: why it is not the fastest; "" if it is.
  explicit Disk(std::shared_ptr<rocksdb::FileSystem> files, bool direct_reads = false,
                std::string description = "plain system calls", std::string remark = "");
  ~Disk();
  static std::shared_ptr<const Disk> plain();  // RocksDB's default file system
  // io_uring and direct reads, each if it works in `dir` (or where `dir` will be made).
  static std::shared_ptr<const Disk> fastest(const std::string& dir);
  // The fastest, or what the environment variable REFORM_IO asks for: "plain", "uring" (kUnavailable if that is
  // refused), "auto".
  static Result<std::shared_ptr<const Disk>> chosen(const std::string& dir);

  rocksdb::FileSystem& files() const { return *files_; }
  rocksdb::Env* env() const { return env_.get(); }  // the same for RocksDB, which checks its files when they are opened
  bool direct_reads() const { return direct_reads_; }
  const std::string& description() const { return description_; }
  const std::string& remark() const { return remark_; }
  // A copy of this disk that uses `files`, a wrapper of its file system.
  std::shared_ptr<const Disk> with_files(std::shared_ptr<rocksdb::FileSystem> files) const;
  // For tests: replaces the clock, so that nothing waits.
  void wrap_env(const std::function<std::unique_ptr<rocksdb::Env>(std::unique_ptr<rocksdb::Env>)>& wrap);

  Result<std::string> read_small_file(const std::string& path) const;  // kCorrupt if larger than kSmallFileBytes
  // All or nothing, and durable on return: writes a temporary file, syncs it, renames it over `path`, syncs the
  // directory.
  Status write_file_atomically(const std::string& path, const std::string& bytes) const;
  Status rename_path(const std::string& from, const std::string& to) const;
  Status sync_directory(const std::string& path) const;
  Status remove_tree(const std::string& path) const;  // ok if it is gone already

 private:
  std::shared_ptr<rocksdb::FileSystem> files_;
  std::unique_ptr<rocksdb::Env> env_;
  const bool direct_reads_;
  const std::string description_, remark_;
};

// Reads from the file's position to its end, or to just past kSmallFileBytes: our own files are small.
constexpr size_t kSmallFileBytes = size_t{64} << 20;
rocksdb::IOStatus read_small(rocksdb::FSSequentialFile& file, std::string& bytes);

// For our own files. Unlike with RocksDB's defaults, a full disk is an error and never a signal.
rocksdb::FileOptions writing_options();

// What RocksDB says, without its names of kinds: "appending to file: /a/000007.log: Input/output error".
std::string words_of(const rocksdb::Status& status);
// The system's refusal, in whatever RocksDB makes of it, as errno_status() puts it; ok if it is none. RocksDB keeps
// only the errno's text, at the end of its own. What is not there, or no directory, is none: RocksDB looks for such.
Status system_refusal(const rocksdb::Status& status);

// "cannot <verb> <path>: why", with the codes of errno_status().
Status disk_status(const rocksdb::IOStatus& status, const std::string& verb, const std::string& path);

}  // namespace reform
