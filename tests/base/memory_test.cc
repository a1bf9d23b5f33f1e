#include "base/memory.h"

#include <catch2/catch.hpp>

using namespace reform;

TEST_CASE("an account refuses what would pass its cap and counts nothing for it", "[base]") {
  MemoryAccount account(1024);
  auto first = Buffer<float>::create(account, MemoryCategory::kWeights, 128);
  REQUIRE(first.ok());
  CHECK(account.current_bytes(MemoryCategory::kWeights) == 512);
  auto second = Buffer<float>::create(account, MemoryCategory::kKvCache, 129);
  CHECK(second.status().code == Code::kMemoryCap);
  CHECK(account.current_total_bytes() == 512);
  first.value().reset();
  CHECK(account.current_total_bytes() == 0);
  CHECK(account.peak_bytes(MemoryCategory::kWeights) == 512);
}

TEST_CASE("a moved buffer is released once", "[base]") {
  MemoryAccount account;
  {
    auto made = Buffer<int>::create(account, MemoryCategory::kIndex, 7);
    Buffer<int> a = std::move(made).value(), b = std::move(a);
    b = Buffer<int>();
    CHECK(account.current_total_bytes() == 0);
  }
  CHECK(account.current_total_bytes() == 0);
}
