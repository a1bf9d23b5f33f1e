#include "base/arena.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <vector>

using reform::Arena;

TEST_CASE("arena: parts never overlap, lie aligned inside, and all given back is one gap again", "[base]") {
  constexpr int64_t kBytes = 1 << 20;
  Arena arena(kBytes + 100);  // the odd end is left out
  std::mt19937_64 random(5);
  std::map<int64_t, int64_t> parts;
  int64_t peak = 0, refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 5 < 3) {
      const int64_t bytes = 1 + int64_t(random() % (i % 7 == 0 ? 200'000 : 3'000));
      const int64_t gap = arena.largest_gap_bytes();
      const auto offset = arena.take(bytes);
      REQUIRE(offset.has_value() == (bytes <= gap));
      if (!offset) {
        ++refused;
        continue;
      }
      REQUIRE(*offset % Arena::kAlignment == 0);
      REQUIRE((*offset >= 0 && *offset + bytes <= kBytes));
      const auto after = parts.lower_bound(*offset);
      if (after != parts.end()) REQUIRE(*offset + bytes <= after->first);
      if (after != parts.begin()) REQUIRE(std::prev(after)->first + std::prev(after)->second <= *offset);
      parts[*offset] = bytes;
    } else if (!parts.empty()) {
      const auto part = std::next(parts.begin(), int64_t(random() % parts.size()));
      arena.give_back(part->first);
      parts.erase(part);
    }
    peak = std::max(peak, arena.used_bytes());
  }
  CHECK(refused > 100);
  CHECK(arena.peak_bytes() == peak);
  for (const auto& [offset, bytes] : parts) arena.give_back(offset);
  CHECK(arena.used_bytes() == 0);
  CHECK(arena.largest_gap_bytes() == kBytes);
}

TEST_CASE("arena: the smallest gap that holds a part gives it", "[base]") {
  Arena arena(10 * Arena::kAlignment);
  const auto unit = [](int64_t n) { return n * Arena::kAlignment; };
  const auto a = arena.take(unit(3)), b = arena.take(unit(1)), c = arena.take(unit(2)), d = arena.take(unit(1));
  REQUIRE((a && b && c && d));
  arena.give_back(*a);  // gaps of 3, and with c of 2; 3 are left at the end
  arena.give_back(*c);
  CHECK(arena.take(unit(2)) == c);
  CHECK(arena.take(unit(4)) == std::nullopt);
  CHECK(arena.take(unit(3) - 5) == a);
  CHECK(arena.take(unit(3)) == unit(7));
  CHECK(arena.take(1) == std::nullopt);
  CHECK(Arena(0).take(1) == std::nullopt);
  CHECK(Arena(Arena::kAlignment - 1).take(1) == std::nullopt);
}
