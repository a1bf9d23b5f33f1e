// A model's fingerprint comes from the cache only if the cache is whole.
#include "runtime/model/fingerprint.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/small_file.h"
#include "runtime/model/gguf.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/take.h"
#include "tests/support/temp_dir.h"

using namespace reform;
using namespace reform::test;

TEST_CASE("fingerprint: a damaged entry of the cache is computed again and replaced", "[runtime]") {
  const TempDir dir;
  const auto gguf = take(Gguf::open(tiny_path("qwen2")));
  const std::string fingerprint = compute_fingerprint(*gguf);
  CHECK(take(cached_fingerprint(*gguf, dir.path("cache"))) == fingerprint);
  const std::filesystem::directory_iterator files(dir.path("cache/fingerprints"));
  const std::string file = files->path().string(), entry = take(read_small_file(file, 4096));
  const size_t at = entry.find(fingerprint);
  REQUIRE(at != std::string::npos);
  const auto heals = [&](const std::string& damaged) {
    REQUIRE(replace_file(file, damaged).ok());
    CHECK(take(cached_fingerprint(*gguf, dir.path("cache"))) == fingerprint);
    CHECK(take(read_small_file(file, 4096)) == entry);
  };
  for (const size_t i : {size_t{0}, at, at + 31, entry.size() - 1}) {
    std::string damaged = entry;
    damaged[i] = damaged[i] == '1' ? '2' : '1';
    heals(damaged);
  }
  heals("");
  heals(entry.substr(0, entry.size() / 2));
  heals(entry.substr(0, at) + fingerprint + "\n");  // from before entries had a checksum
  heals(entry + entry);
  // An entry that is whole is not computed again.
  std::filesystem::last_write_time(file, {});
  CHECK(take(cached_fingerprint(*gguf, dir.path("cache"))) == fingerprint);
  CHECK(std::filesystem::last_write_time(file) == std::filesystem::file_time_type{});
}
