#include <reform/units.h>

#include <catch2/catch.hpp>

using namespace reform;

TEST_CASE("bytes that are needed are rounded up, never down", "[base]") {
  CHECK(format_bytes_up(1023) == "1023 B");
  CHECK(format_bytes_up(14 * kKiB) == "14.0 KiB");
  CHECK(format_bytes_up(14 * kKiB + 1) == "14.1 KiB");
  CHECK(format_bytes_up(2 * kMiB) == "2.0 MiB");
  CHECK(format_bytes_up(2 * kMiB + 1) == "2.1 MiB");
  CHECK(format_bytes_up(kGiB + 1) == "1.01 GiB");
  CHECK(format_bytes_up(kMiB - 1) == "1.0 MiB");
}
