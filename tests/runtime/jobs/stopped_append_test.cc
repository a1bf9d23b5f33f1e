// What may follow an append that was stopped, other than the same append again.
#include <catch2/catch.hpp>

#include "tests/runtime/support/ingest_support.h"

using namespace reform;
using namespace reform::test;
using OnExisting = IngestOptions::OnExisting;

TEST_CASE("append: who replaces instead, or forgets --append, does not append", "[runtime]") {
  IngestBench bench;
  IngestOptions plain = IngestBench::options("h2o"), append = plain, replace = plain;
  append.on_existing = OnExisting::kAppend, replace.on_existing = OnExisting::kReplace;
  const std::string base = made_text(51, 900), added = made_text(52, 900), other = made_text(53, 700);
  REQUIRE(bench.ingest("whole", {added}, plain).ok());
  for (const int chunk : {0, 2}) {
    CAPTURE(chunk);
    REQUIRE(bench.ingest("parts", {base}, plain).ok());
    REQUIRE(bench.ingest_stopped("parts", {added}, append, chunk));
    for (const std::string& text : {base, other, added, added + other, base + added})
      CHECK(bench.ingest("parts", {text}, plain).status().code == Code::kExists);
    const auto replaced = bench.ingest("parts", {added}, replace);
    INFO(replaced.status().message);
    REQUIRE(replaced.ok());
    CHECK(int(replaced.value().outcome) == int(IngestResult::Outcome::kReplaced));
    check_same(bench.snapshot("parts"), bench.snapshot("whole"));
    REQUIRE(bench.store().remove("parts").ok());
  }
}
