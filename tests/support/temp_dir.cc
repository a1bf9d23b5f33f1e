#include "tests/support/temp_dir.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace reform::test {
namespace {

// A place where a sync costs nothing, if there is room. These tests are about what is written, and would otherwise wait
// for disks.
std::filesystem::path scratch_directory() {
  std::error_code error;
  const auto space = std::filesystem::space("/dev/shm", error);
  if (!error && space.available > (uintmax_t{2} << 30) && ::access("/dev/shm", W_OK) == 0) return "/dev/shm";
  return std::filesystem::temp_directory_path();
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = (scratch_directory() / "reform-test-XXXXXX").string();
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace reform::test
