// Files outside the store: whole or not there, and nothing of a killed process stays.
#include "storage/disk/new_file.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/try.h"
#include "storage/format/bytes.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/support/fault_file_system.h"

using namespace reform;
using namespace reform::test;
using Draft = NewFile::Draft;

namespace {

constexpr Draft kDrafts[] = {Draft::kNameless, Draft::kNamed};

bool has_nameless_files(const std::string& folder) {
  return FileDescriptor(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644)).valid();
}

int64_t n_entries(const std::string& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

// A process that is killed with half of the file written.
void write_half_and_die(const Disk& disk, const std::string& path, Draft draft) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto file = NewFile::create(disk, path, false, draft);
    if (file.ok() && file.value().append(as_bytes("half")).ok()) (void)::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

}  // namespace

TEST_CASE("a new file appears whole or not at all, and replaces only what it may", "[storage]") {
  const Draft draft = GENERATE(Draft::kNameless, Draft::kNamed);
  TempDir dir;
  const auto disk = Disk::plain();
  const std::string path = dir.path("out");
  {
    auto file = must(NewFile::create(*disk, path, false, draft));
    must(file.append(as_bytes("half")));
    CHECK_FALSE(std::filesystem::exists(path));
  }
  CHECK(std::filesystem::is_empty(dir.path()));
  const auto write = [&](const std::string& to, const std::string& text, bool replace) -> Status {
    TRY_ASSIGN(auto file, NewFile::create(*disk, to, replace, draft));
    TRY(file.append(as_bytes(text)));
    return file.commit();
  };
  must(write(path, "one", false));
  CHECK(write(path, "two", false).code == Code::kExists);
  CHECK(must(disk->read_small_file(path)) == "one");
  must(write(path, "three", true));
  CHECK(must(disk->read_small_file(path)) == "three");
  std::filesystem::create_symlink(path, dir.path("link"));
  must(write(dir.path("link"), "four", true));  // through the link
  CHECK(std::filesystem::is_symlink(dir.path("link")));
  std::filesystem::create_symlink("nowhere", dir.path("dangling"));
  CHECK(write(dir.path("dangling"), "five", false).code == Code::kExists);
  CHECK(std::filesystem::remove(dir.path("dangling")));
  CHECK(must(disk->read_small_file(path)) == "four");
  // What a killed process left goes; what one still writes, or another name has, stays.
  for (const char* name : {"out.0123abcd.partial", "out.0123abcg.partial", "out.1.partial", "other.0123abcd.partial"})
    std::ofstream(dir.path(name)) << "left";
  {
    auto writing = must(NewFile::create(*disk, path, true, draft));
    CHECK_FALSE(std::filesystem::exists(dir.path("out.0123abcd.partial")));
    must(write(path, "five", true));
    must(writing.append(as_bytes("six")));
    must(writing.commit());
  }
  CHECK(must(disk->read_small_file(path)) == "six");
  for (const char* name : {"out.0123abcg.partial", "out.1.partial", "other.0123abcd.partial"})
    CHECK(std::filesystem::remove(dir.path(name)));
  CHECK(write(dir.path(), "x", true).code == Code::kUsage);
  CHECK(write("/dev/null", "x", true).code == Code::kUsage);
  CHECK_FALSE(write(dir.path("none/out"), "x", true).ok());
  CHECK(n_entries(dir.path()) == 2);

  std::string umlauts;
  for (int i = 0; i < 127; ++i) umlauts += "\u00fc";
  for (const std::string& longest : {dir.path(std::string(255, 'n')), dir.path("n" + umlauts)}) {
    must(write(longest, "seven", false));
    must(write(longest, "eight", true));
    CHECK(must(disk->read_small_file(longest)) == "eight");
  }
  CHECK(n_entries(dir.path()) == 4);
}

TEST_CASE("a file that a killed process was writing leaves nothing, or what the next one removes", "[storage]") {
  const auto disk = Disk::plain();
  for (const Draft draft : kDrafts) {
    TempDir dir;
    const std::string path = dir.path("out");
    write_half_and_die(*disk, path, draft);
    const bool stays = draft == Draft::kNamed || !has_nameless_files(dir.path());
    CHECK(n_entries(dir.path()) == (stays ? 1 : 0));
    auto file = must(NewFile::create(*disk, path, false, draft));
    must(file.append(as_bytes("whole")));
    must(file.commit());
    CHECK(must(disk->read_small_file(path)) == "whole");
    CHECK(n_entries(dir.path()) == 1);
    CHECK(std::filesystem::status(path).permissions() == std::filesystem::perms(0644));
  }
}

TEST_CASE("a file that cannot be written whole does not appear", "[storage]") {
  for (const Draft draft : kDrafts) {
    for (const int64_t fails : {1, 2, 3}) {
      TempDir dir;
      const auto faults = std::make_shared<FaultFileSystem>(rocksdb::FileSystem::Default(), dir.path(), 1);
      const auto disk = Disk::plain()->with_files(faults);
      FaultPlan plan;
      plan.fail_write = fails;
      faults->arm(plan);
      const auto write = [&]() -> Status {
        TRY_ASSIGN(auto file, NewFile::create(*disk, dir.path("out"), false, draft));
        TRY(file.append(as_bytes("some")));
        return file.commit();
      };
      const Status status = write();
      CAPTURE(int(draft), fails, status.message);
      // Where the nameless file cannot be opened, one with a name takes its place.
      const bool falls_back = draft == Draft::kNameless && fails == 1;
      CHECK(status.ok() == falls_back);
      CHECK(n_entries(dir.path()) == (falls_back ? 1 : 0));
    }
  }
}
