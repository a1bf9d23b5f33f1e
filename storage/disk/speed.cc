#include "storage/disk/speed.h"

#include <fmt/format.h>
#include <reform/units.h>
#include <rocksdb/file_system.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <sstream>
#include <vector>

#include "base/memory.h"
#include "base/try.h"
#include "storage/disk/files.h"

namespace reform {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int64_t kLargeBytes = 1 * kMiB, kSmallBytes = 4 * kKiB;
constexpr size_t kLargeDepth = 8, kSmallDepth = 64;
constexpr milliseconds kWriteTime{700}, kReadTime{600};

// The type of the last mount that contains `path`, as the kernel lists them.
std::string mounted_type(const std::string& path) {
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line, type;
  size_t longest = 0;
  while (std::getline(mounts, line)) {
    std::istringstream fields(line);
    std::string skipped, point, word;
    fields >> skipped >> skipped >> skipped >> skipped >> point;
    while (fields >> word && word != "-") {
    }
    fields >> word;
    const bool holds = point == "/" || path == point || path.starts_with(point + "/");
    if (holds && point.size() >= longest) longest = point.size(), type = word;
  }
  return type;
}

Status checked(const rocksdb::IOStatus& status, const char* doing, const std::string& dir) {
  if (status.ok()) return {};
  Status said = system_refusal(status);
  if (said.ok()) said = {status.IsNoSpace() ? Code::kNoSpace : Code::kIo, words_of(status)};
  return {said.code, fmt::format("measuring the disk of {}: {}: {}", dir, doing, said.message)};
}

// A file without a name, open for writing and reading.
class Measurement {
 public:
  Measurement(const Disk& disk, std::string dir, const std::function<bool()>& stopped)
      : disk_(disk), dir_(std::move(dir)), stopped_(stopped) {
    options_.use_direct_reads = disk.direct_reads();
  }

  Status create() {
    const std::string path = fmt::format("{}/.reform-doctor-{:08x}", dir_, std::random_device()());
    TRY(claim_name(path, 0600));
    rocksdb::FileSystem& files = disk_.files();
    TRY(checked(files.NewWritableFile(path, writing_options(), &writer_, nullptr), "creating a file", dir_));
    const auto opened = files.NewRandomAccessFile(path, options_, &reader_, nullptr);
    const auto unlinked = files.DeleteFile(path, {}, nullptr);
    TRY(checked(opened, "opening a file", dir_));
    return checked(unlinked, "removing a file", dir_);
  }

  Status write(int64_t max_bytes) {
    std::string block(size_t(kLargeBytes), '\0');
    std::mt19937_64 random(1);  // random, so that a file system that compresses finds nothing to do
    for (char& c : block) c = char(random());
    const auto deadline = Clock::now() + kWriteTime;
    for (bytes_ = 0; bytes_ + kLargeBytes <= max_bytes && Clock::now() < deadline; bytes_ += kLargeBytes) {
      if (stopped_()) return cancelled();
      TRY(checked(writer_->Append(block, {}, nullptr), "writing", dir_));
    }
    return checked(writer_->Sync({}, nullptr), "syncing", dir_);
  }

  // Reads per second, of request_bytes each, `depth` at a time; from the start onwards, or anywhere.
  Result<double> read(int64_t request_bytes, size_t depth, bool anywhere) {
    const int64_t n_places = bytes_ / request_bytes;
    if (n_places < int64_t(depth)) return 0.0;
    const std::unique_ptr<char, void (*)(void*)> buffer(
        static_cast<char*>(allocate_aligned_zeroed(int64_t(depth) * request_bytes)), std::free);
    if (buffer == nullptr) return Status{Code::kMemoryCap, "out of memory"};
    (void)reader_->InvalidateCache(0, 0).ok();
    std::mt19937_64 random(2);
    std::vector<rocksdb::FSReadRequest> requests(depth);
    const auto begin = Clock::now();
    int64_t n_reads = 0;
    for (int64_t place = 0; Clock::now() < begin + kReadTime; place += int64_t(depth), n_reads += int64_t(depth)) {
      if (stopped_()) return cancelled();
      if (!anywhere && place + int64_t(depth) > n_places) {  // only once through: what was read is in the page cache
        if (!options_.use_direct_reads) break;
        place = 0;
      }
      for (size_t i = 0; i < depth; ++i) {
        requests[i].offset =
            uint64_t(anywhere ? int64_t(random() % uint64_t(n_places)) : place + int64_t(i)) * uint64_t(request_bytes);
        requests[i].len = size_t(request_bytes);
        requests[i].scratch = buffer.get() + int64_t(i) * request_bytes;
      }
      TRY(checked(reader_->MultiRead(requests.data(), depth, {}, nullptr), "reading", dir_));
      for (const rocksdb::FSReadRequest& request : requests) TRY(checked(request.status, "reading", dir_));
    }
    return double(n_reads) / std::chrono::duration<double>(Clock::now() - begin).count();
  }

 private:
  static Status cancelled() { return {Code::kCancelled, "stopped while measuring the disk"}; }

  const Disk& disk_;
  const std::string dir_;
  const std::function<bool()>& stopped_;
  rocksdb::FileOptions options_;
  std::unique_ptr<rocksdb::FSWritableFile> writer_;
  std::unique_ptr<rocksdb::FSRandomAccessFile> reader_;
  int64_t bytes_ = 0;
};

}  // namespace

Result<FileSystemInfo> file_system_at(const std::string& dir) {
  struct statvfs room;
  if (::statvfs(dir.c_str(), &room) != 0) return os_error("look at", dir, errno);
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(dir.c_str(), nullptr), std::free);
  return FileSystemInfo{mounted_type(real == nullptr ? dir : real.get()),
                        int64_t(room.f_bavail) * int64_t(room.f_frsize),
                        int64_t(room.f_blocks) * int64_t(room.f_frsize)};
}

Result<DiskSpeed> measure_disk(const Disk& disk, const std::string& dir, int64_t max_bytes,
                               const std::function<bool()>& stopped) {
  Measurement measurement(disk, dir, stopped);
  TRY(measurement.create());
  TRY(measurement.write(max_bytes));
  DiskSpeed speed;
  TRY_ASSIGN(const double large, measurement.read(kLargeBytes, kLargeDepth, /*anywhere=*/false));
  speed.sequential_bytes_per_s = large * double(kLargeBytes);
  TRY_ASSIGN(speed.random_reads_per_s, measurement.read(kSmallBytes, kSmallDepth, /*anywhere=*/true));
  return speed;
}

}  // namespace reform
