// Our file system against plain strings, at odd sizes and places, and where the machine refuses what makes it fast.
#include "storage/disk/uring/file_system.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <rocksdb/file_system.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "storage/disk/disk.h"
#include "storage/disk/uring/ring.h"
#include "tests/storage/support/child_process.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/support/skip.h"

using namespace reform;
using namespace reform::test;
using rocksdb::FileOptions;
using rocksdb::FSReadRequest;
using rocksdb::IOStatus;
using rocksdb::Slice;

namespace {

std::shared_ptr<rocksdb::FileSystem> uring_files() { return make_uring_file_system(rocksdb::FileSystem::Default()); }

void must(const IOStatus& status) {
  INFO(status.ToString());
  REQUIRE(status.ok());
}

std::string random_bytes(std::mt19937_64& random, size_t n) {
  std::string bytes(n, '\0');
  for (char& c : bytes) c = char(random());
  return bytes;
}

struct AlignedMemory {
  explicit AlignedMemory(size_t n)
      : bytes(n + 4096, '\0'), at((4096 - reinterpret_cast<uintptr_t>(bytes.data()) % 4096) % 4096) {}
  char* data() { return bytes.data() + at; }
  std::string bytes;
  size_t at;
};

std::unique_ptr<rocksdb::FSWritableFile> create(rocksdb::FileSystem& files, const std::string& path,
                                                const FileOptions& options = {}) {
  std::unique_ptr<rocksdb::FSWritableFile> file;
  must(files.NewWritableFile(path, options, &file, nullptr));
  return file;
}

void write_whole(rocksdb::FileSystem& files, const std::string& path, const std::string& bytes) {
  const auto file = create(files, path);
  must(file->Append(bytes, {}, nullptr));
  must(file->Close({}, nullptr));
}

std::string read_whole(rocksdb::FileSystem& files, const std::string& path) {
  std::string bytes;
  must(rocksdb::ReadFileToString(&files, path, &bytes));
  return bytes;
}

// The bytes that a read of n bytes at `offset` gives.
std::string expected(const std::string& bytes, uint64_t offset, size_t n) {
  return bytes.substr(std::min(bytes.size(), size_t(offset)), n);
}

}  // namespace

TEST_CASE("files: appends, truncation and reopening make the same file as a string", "[storage][uring]") {
  TempDir dir;
  const auto files = uring_files();
  std::mt19937_64 random(GENERATE(1, 2, 3));
  const std::string path = dir.path("f");
  write_whole(*files, path, "what was there before");
  auto file = create(*files, path);
  std::string want;
  CHECK(file->GetFileSize({}, nullptr) == 0);
  for (int round = 0; round < 60; ++round) {
    const std::string part = random_bytes(random, random() % (round % 20 == 7 ? 3'000'001 : 5000));
    switch (random() % 8) {
      case 0:
        must(file->RangeSync(want.size() / 2, want.size() / 3 + 1, {}, nullptr));
        break;
      case 1:
        must(random() % 2 ? file->Sync({}, nullptr) : file->Fsync({}, nullptr));
        break;
      case 2:
        must(file->Close({}, nullptr));
        must(files->ReopenWritableFile(path, {}, &file, nullptr));
        break;
      case 3:
        want.erase(want.size() - want.size() / 5);
        must(file->Truncate(want.size(), {}, nullptr));
        break;
      default:
        must(file->Append(part, {}, nullptr));
        want += part;
    }
    CHECK(file->GetFileSize({}, nullptr) == want.size());
  }
  must(file->Flush({}, nullptr));
  CHECK((read_whole(*files, path) == want));  // before it is closed
  must(file->Close({}, nullptr));
  CHECK(std::filesystem::file_size(path) == want.size());
}

TEST_CASE("files: random and sequential reads give what is there, direct and buffered, aligned or not",
          "[storage][uring]") {
  TempDir dir;
  const auto files = uring_files();
  FileOptions options;
  options.use_direct_reads = GENERATE(false, true);
  const size_t bytes = GENERATE(0, 1, 4096, 100'003, 5'000'001);
  std::mt19937_64 random(bytes + options.use_direct_reads);
  const std::string path = dir.path("f"), want = random_bytes(random, bytes);
  write_whole(*files, path, want);
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  must(files->NewRandomAccessFile(path, options, &file, nullptr));
  if (options.use_direct_reads && !file->use_direct_io()) WARN("no O_DIRECT here: read buffered");
  const bool is_aligned_only = GENERATE(false, true);
  for (int round = 0; round < 12; ++round) {
    const size_t n_requests = 1 + random() % 80;
    std::vector<FSReadRequest> requests(n_requests);
    std::vector<AlignedMemory> memory;
    memory.reserve(n_requests);
    for (FSReadRequest& r : requests) {
      r.offset = random() % (bytes + 10'000), r.len = random() % (round == 3 ? 2'000'000 : 30'000);
      size_t shift = random() % 9;
      if (is_aligned_only) r.offset -= r.offset % 4096, r.len -= r.len % 4096, shift = 0;
      r.scratch = memory.emplace_back(r.len + shift + 1).data() + shift;
      r.scratch[r.len] = '#';
    }
    if (round % 4 == 1) {
      for (FSReadRequest& r : requests) r.status = file->Read(r.offset, r.len, {}, &r.result, r.scratch, nullptr);
    } else {
      must(file->MultiRead(requests.data(), n_requests, {}, nullptr));
    }
    for (const FSReadRequest& r : requests) {
      must(r.status);
      CAPTURE(r.offset, r.len);
      CHECK((r.result.ToString() == expected(want, r.offset, r.len)));
      CHECK(r.scratch[r.len] == '#');
    }
  }
  std::unique_ptr<rocksdb::FSSequentialFile> sequential;
  must(files->NewSequentialFile(path, options, &sequential, nullptr));
  for (uint64_t at = 0; at <= bytes;) {
    std::string buffer(1 + random() % 700'000, '\0');
    Slice got;
    must(sequential->Read(buffer.size(), {}, &got, buffer.data(), nullptr));
    CHECK((got.ToString() == expected(want, at, buffer.size())));
    at += got.size();
    const uint64_t skipped = random() % 3 == 0 ? random() % 5000 : 0;
    must(sequential->Skip(skipped));
    if (got.empty()) break;
    at += skipped;
  }
}

TEST_CASE("files: direct writes at block borders, cut to length at the end", "[storage][uring]") {
  TempDir dir;
  const auto files = uring_files();
  FileOptions options;
  options.use_direct_writes = true;
  std::mt19937_64 random(6);
  const auto file = create(*files, dir.path("f"), options);
  AlignedMemory block(5 * 4096);
  std::string want;
  for (int i = 0; i < 7; ++i) {
    const std::string bytes = random_bytes(random, 5 * 4096);
    std::copy(bytes.begin(), bytes.end(), block.data());
    must(file->PositionedAppend(Slice(block.data(), bytes.size()), want.size(), {}, nullptr));
    want += bytes;
  }
  want.resize(want.size() - 1234);
  must(file->Truncate(want.size(), {}, nullptr));
  must(file->Close({}, nullptr));
  CHECK((read_whole(*files, dir.path("f")) == want));
}

TEST_CASE("files: places past 4 GiB are places like others", "[storage][uring]") {
  TempDir dir;
  const auto files = uring_files();
  constexpr uint64_t kFar = (uint64_t{5} << 30) + 3;
  {
    const auto file = create(*files, dir.path("f"));
    must(file->Truncate(kFar, {}, nullptr));
    must(file->Append("far away", {}, nullptr));
    CHECK(file->GetFileSize({}, nullptr) == kFar + 8);
  }
  for (const bool direct : {false, true}) {
    FileOptions options;
    options.use_direct_reads = direct;
    std::unique_ptr<rocksdb::FSRandomAccessFile> file;
    must(files->NewRandomAccessFile(dir.path("f"), options, &file, nullptr));
    char scratch[100];
    Slice got;
    must(file->Read(kFar - 2, sizeof scratch, {}, &got, scratch, nullptr));
    CHECK(got.ToString() == std::string("\0\0far away", 10));
  }
}

TEST_CASE("files: what fails is named in RocksDB's own terms", "[storage][uring]") {
  TempDir dir;
  const auto files = uring_files();
  std::unique_ptr<rocksdb::FSSequentialFile> sequential;
  std::unique_ptr<rocksdb::FSRandomAccessFile> random_access;
  std::unique_ptr<rocksdb::FSWritableFile> writable;
  std::unique_ptr<rocksdb::FSDirectory> directory;
  const std::string none = dir.path("none");
  CHECK(files->NewSequentialFile(none, {}, &sequential, nullptr).IsPathNotFound());
  CHECK(files->NewRandomAccessFile(none, {}, &random_access, nullptr).IsPathNotFound());
  CHECK(files->NewWritableFile(none + "/f", {}, &writable, nullptr).IsPathNotFound());
  CHECK(files->NewDirectory(none, {}, &directory, nullptr).IsPathNotFound());
  must(files->NewDirectory(dir.path(), {}, &directory, nullptr));
  must(directory->Fsync({}, nullptr));
  must(directory->Close({}, nullptr));
  // A directory can be opened but not read: every request gets the error.
  must(files->NewRandomAccessFile(dir.path(), {}, &random_access, nullptr));
  char scratch[20];
  FSReadRequest requests[2];
  for (FSReadRequest& r : requests) r.offset = 0, r.len = 10, r.scratch = scratch;
  must(random_access->MultiRead(requests, 2, {}, nullptr));
  for (const FSReadRequest& r : requests) CHECK(r.status.IsIOError());
  if (::access("/dev/full", W_OK) == 0) {
    must(files->ReopenWritableFile("/dev/full", {}, &writable, nullptr));
    const IOStatus full = writable->Append("x", {}, nullptr);
    CHECK(full.IsNoSpace());
    CHECK(full.ToString().find("/dev/full") != std::string::npos);
  }
}

TEST_CASE("files: many threads read one file and write their own", "[storage][uring]") {
  TempDir dir;
  const auto files = uring_files();
  std::mt19937_64 random(2);
  const std::string want = random_bytes(random, 3'000'000);
  write_whole(*files, dir.path("shared"), want);
  std::unique_ptr<rocksdb::FSRandomAccessFile> shared;
  FileOptions options;
  options.use_direct_reads = true;
  must(files->NewRandomAccessFile(dir.path("shared"), options, &shared, nullptr));
  std::vector<char> well(9, 0);
  {
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < well.size(); ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 own(t);
        std::unique_ptr<rocksdb::FSWritableFile> file;
        bool all = files->NewWritableFile(dir.path(std::to_string(t)), {}, &file, nullptr).ok();
        for (int i = 0; all && i < 40; ++i) {
          const uint64_t offset = own() % want.size();
          std::string buffer(own() % 60'000, '\0');
          Slice got;
          all = shared->Read(offset, buffer.size(), {}, &got, buffer.data(), nullptr).ok() &&
                got.ToString() == expected(want, offset, buffer.size()) && file->Append(got, {}, nullptr).ok() &&
                (i % 10 != 0 || file->Sync({}, nullptr).ok());
        }
        well[t] = all && file->Close({}, nullptr).ok();
      });
    }
  }
  CHECK(std::count(well.begin(), well.end(), 1) == 9);
}

// Answers io_uring_setup with EPERM, as many containers do.
TEST_CASE("child without io_uring", "[.child]") {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    report_to_parent("cannot filter");
    return;
  }
  const std::string dir = child_setting("STORE");
  const auto disk = Disk::fastest(dir);
  CHECK_FALSE(disk->direct_reads());
  for (const std::string& said : {disk->remark(), disk->description()}) {
    CHECK(said.find("io_uring is refused here (Operation not permitted)") != std::string::npos);
    CHECK(said.find('\n') == std::string::npos);
  }
  MemoryAccount account;
  ::setenv("REFORM_IO", "uring", 1);
  const Status refused = ContextStore::open(dir, account).status();
  CHECK(refused.code == Code::kUnavailable);
  CHECK(refused.message.find("not permitted") != std::string::npos);
  ::setenv("REFORM_IO", "auto", 1);
  auto store = reform::test::must(ContextStore::open(dir, account));
  CHECK_FALSE(store->disk().remark().empty());
  auto writer = reform::test::must(store->create("x", 9, ""));
  reform::test::must(writer->commit_chunk(Chunk(4, 0, 5000, 9).write()));
  reform::test::must(compare_embeddings(*writer, 4));
  // Also without asking first: each thread then makes plain calls.
  const auto files = uring_files();
  write_whole(*files, dir + "/probe", "abc");
  CHECK(read_whole(*files, dir + "/probe") == "abc");
  report_to_parent("well");
}

TEST_CASE("where io_uring is refused one line says so, and the store works all the same", "[storage][uring]") {
  TempDir dir;
  ChildProcess child("child without io_uring", {{"STORE", dir.path()}});
  const auto outcome = child.read_line();
  if (outcome == "cannot filter") return skip("no system call can be filtered here");
  CHECK(outcome == "well");
  CHECK(child.wait() == 0);
}

TEST_CASE("REFORM_IO chooses the way to the disk, and other words are refused", "[storage][uring]") {
  TempDir dir;
  const char* before = std::getenv("REFORM_IO");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("REFORM_IO", "plain", 1);
  const auto plain = reform::test::must(Disk::chosen(dir.path()));
  ::setenv("REFORM_IO", "fast", 1);
  const Status refused = Disk::chosen(dir.path()).status();
  ::setenv("REFORM_IO", "auto", 1);
  const auto automatic = reform::test::must(Disk::chosen(dir.path("not/there/yet")));
  ::setenv("REFORM_IO", kept.c_str(), 1);
  CHECK(&plain->files() == rocksdb::FileSystem::Default().get());
  CHECK(plain->remark().empty());  // the user asked for plain
  CHECK(refused.code == Code::kUsage);
  CHECK(refused.message.find("\"fast\"") != std::string::npos);
  CHECK((automatic->remark().empty() == automatic->direct_reads()));
  CHECK(std::filesystem::is_empty(dir.path()));  // the trial has left nothing
}
