// Files outside the store: whole or not there, and nothing of a killed process stays.
#include "storage/disk/new_file.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/try.h"
#include "storage/format/bytes.h"
#include "tests/storage/support/store_fixture.h"

using namespace reform;
using namespace reform::test;

TEST_CASE("a new file appears whole or not at all, and replaces only what it may", "[storage]") {
  TempDir dir;
  const auto disk = Disk::plain();
  const std::string path = dir.path("out");
  {
    auto file = must(NewFile::create(*disk, path, false));
    must(file.append(as_bytes("half")));
    CHECK_FALSE(std::filesystem::exists(path));
  }
  CHECK(std::filesystem::is_empty(dir.path()));
  const auto write = [&](const std::string& to, const std::string& text, bool replace) -> Status {
    TRY_ASSIGN(auto file, NewFile::create(*disk, to, replace));
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
  CHECK(must(disk->read_small_file(path)) == "four");
  // What a killed process left goes; what one still writes, or another name has, stays.
  for (const char* name : {"out.0123abcd.partial", "out.0123abcg.partial", "out.1.partial", "other.0123abcd.partial"})
    std::ofstream(dir.path(name)) << "left";
  {
    auto writing = must(NewFile::create(*disk, path, true));
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
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 2);
}
