// What may follow an append or a first ingest that was stopped, other than the same command again.
#include <catch2/catch.hpp>

#include "tests/runtime/support/ingest_support.h"

using namespace reform;
using namespace reform::test;
using OnExisting = IngestOptions::OnExisting;

namespace {

using Outcome = IngestResult::Outcome;

IngestOptions with(IngestOptions options, OnExisting on_existing) {
  options.on_existing = on_existing;
  return options;
}

void check_done(const Result<IngestResult>& done, Outcome outcome) {
  REQUIRE(done.status().message == "");
  CHECK(int(done.value().outcome) == int(outcome));
}

void check_dropped(const Result<IngestResult>& refused) {
  CHECK(refused.status().code == Code::kExists);
  CHECK(refused.status().message.find("must be fed again") != std::string::npos);
}

}  // namespace

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

TEST_CASE("append: an unfinished one gives way to another file, and to another stream that is fed twice", "[runtime]") {
  IngestBench bench;
  const IngestOptions options = IngestBench::options("h2o"), append = with(options, OnExisting::kAppend);
  const std::string base = made_text(51, 900), dropped = made_text(52, 900), wanted = made_text(53, 700);
  REQUIRE(bench.ingest("whole", {base + wanted}, options).ok());
  for (const bool from_file : {false, true}) {
    CAPTURE(from_file);
    REQUIRE(bench.ingest("parts", {base}, options).ok());
    REQUIRE(bench.ingest_stopped("parts", {dropped}, append, 2));
    if (from_file) {
      check_done(bench.ingest_file("parts", wanted, append), Outcome::kAppended);
    } else {
      CHECK(bench.ingest("parts", {""}, append).status().code == Code::kBadText);  // drops nothing
      check_dropped(bench.ingest("parts", {wanted}, append));
      check_done(bench.ingest("parts", {wanted}, append), Outcome::kResumed);
    }
    check_same(bench.snapshot("parts"), bench.snapshot("whole"));
    REQUIRE(bench.store().remove("parts").ok());
  }
}

TEST_CASE("replace: an unfinished first ingest gives way to another stream that is fed twice", "[runtime]") {
  IngestBench bench;
  IngestOptions options = IngestBench::options("h2o");
  options.checkpoint_seconds = 0;
  const IngestOptions replace = with(options, OnExisting::kReplace);
  const std::string text = made_text(122, 600);
  REQUIRE(bench.ingest_stopped("parts", {made_text(123, 600)}, options, 3));
  check_dropped(bench.ingest("parts", {text}, replace));
  check_done(bench.ingest("parts", {text}, replace), Outcome::kResumed);
  REQUIRE(bench.ingest("whole", {text}, options).ok());
  check_same(bench.snapshot("parts"), bench.snapshot("whole"));
}
