#include <rocksdb/io_status.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "storage/disk/disk.h"
#include "storage/disk/files.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

using namespace reform;
using namespace reform::test;
using rocksdb::IOStatus;

TEST_CASE("what the system refuses RocksDB is told in our words: what, where, what to do", "[storage]") {
  const std::string doing = "While appending to file: /s/1.log";
  const struct {
    IOStatus status;
    Code code;
    const char* message;
  } cases[] = {{IOStatus::NoSpace(doing, "No space left on device"), Code::kNoSpace,
                "appending to file: /s/1.log: the disk is full; make room"},
               {IOStatus::IOError(doing, "Read-only file system"), Code::kIo,
                "appending to file: /s/1.log: the file system is read-only; make it writable, or use another place"},
               {IOStatus::NoSpace(doing, "Disk quota exceeded"), Code::kNoSpace,
                "appending to file: /s/1.log: this user's disk quota is used up; make room"},
               {IOStatus::IOError("opening /s: b", "Permission denied"), Code::kIo,
                "opening /s: b: permission denied: this user may not read or write there"},
               {IOStatus::IOError("reading /s", "Input/output error"), Code::kIo, "reading /s: Input/output error"}};
  for (const auto& c : cases) {
    const Status told = system_refusal(c.status);
    CHECK(told.code == c.code);
    CHECK(told.message == c.message);
    CHECK(disk_status(c.status, "write", "/s").code == c.code);
    CHECK(disk_status(c.status, "write", "/s").message.starts_with("cannot write /s: "));
    CHECK(disk_status(c.status, "write", "/s").message.find("IO error") == std::string::npos);
  }
  const auto refused =
      system_refusal(IOStatus::Corruption("Can't access /1.sst: IO error: /1.sst: Input/output error\n"));
  CHECK(refused.code == Code::kIo);
  CHECK(refused.message == "Can't access /1.sst: IO error: /1.sst: Input/output error");
  CHECK(system_refusal(IOStatus::Corruption("bad block")).ok());
  CHECK(system_refusal(IOStatus::PathNotFound("/s", "No such file or directory")).ok());
  const IOStatus capped = IOStatus::NoSpace("no room below the store's cap (--max-store-bytes)");
  CHECK(system_refusal(capped).ok());
  CHECK(words_of(capped) == "no room below the store's cap (--max-store-bytes)");
}

TEST_CASE("a tree that is a link is removed, and not what it leads to", "[storage]") {
  const TempDir dir;
  std::filesystem::create_directory(dir.path("outside"));
  write_file(dir.path("outside/file"), "kept");
  std::filesystem::create_symlink("outside", dir.path("link"));
  REQUIRE(Disk::plain()->remove_tree(dir.path("link")).ok());
  CHECK_FALSE(std::filesystem::is_symlink(dir.path("link")));
  CHECK(read_file(dir.path("outside/file")) == "kept");
}

TEST_CASE("only what has no name is missing: what the system refuses to look at may be there", "[storage]") {
  const TempDir dir;
  std::filesystem::create_symlink("circle", dir.path("circle"));
  const std::string refused = dir.path("circle/file");
  CHECK(path_exists(refused).status().code == Code::kIo);
  CHECK_FALSE(is_absent(refused));
  CHECK(tree_bytes(refused) == kUnreadableBytes);
  CHECK(Disk::plain()->remove_tree(refused).code == Code::kIo);
  const std::string none = dir.path("none/file");
  CHECK((path_exists(none).ok() && !path_exists(none).value() && is_absent(none)));
  CHECK((path_exists(dir.path("circle")).value() && !is_absent(dir.path())));
  CHECK(tree_bytes(none) == 0);
}
