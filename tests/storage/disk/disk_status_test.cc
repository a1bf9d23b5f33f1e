#include <rocksdb/io_status.h>

#include <catch2/catch.hpp>

#include "storage/disk/disk.h"

using namespace reform;
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
  CHECK(system_refusal(IOStatus::Corruption("bad block")).ok());
  CHECK(system_refusal(IOStatus::PathNotFound("/s", "No such file or directory")).ok());
  const IOStatus capped = IOStatus::NoSpace("no room below the store's cap (--max-store-bytes)");
  CHECK(system_refusal(capped).ok());
  CHECK(words_of(capped) == "no room below the store's cap (--max-store-bytes)");
}
