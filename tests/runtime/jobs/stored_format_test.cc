// Stores and archives of every format version so far, as they were written then (scripts/make_store_golden.py), and of
// versions that this program does not know.
#include <reform/archive.h>
#include <reform/verify.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/runtime/support/ingest_support.h"
#include "tests/support/files.h"

using namespace reform;
using namespace reform::test;
namespace fs = std::filesystem;

namespace {

constexpr int kVersions[] = {1};

// A copy of the golden store, to be opened and written to.
std::unique_ptr<Store> copy_of(IngestBench& bench, int version, std::string* dir = nullptr) {
  const fs::path copy = fs::path(bench.store().dir()).parent_path() / ("copy of v" + std::to_string(version));
  fs::remove_all(copy);
  fs::copy(golden_path("store_v" + std::to_string(version)), copy, fs::copy_options::recursive);
  if (dir != nullptr) *dir = copy.string();
  auto store = Store::open(copy.string());
  INFO(store.status().message);
  REQUIRE(store.ok());
  return std::move(store).value();
}

// All of the short text is gathered, so what the sources show does not depend on scores.
void check_answers(IngestBench& bench, Store& store, const std::string& name) {
  AskOptions options;
  options.sampling.max_new_tokens = 3;
  options.gather_tokens = 700, options.edge_tokens = 0, options.pool_window = 5;
  const auto answer = ask(bench.engine(), store, {name}, "Who keeps the gate?", options);
  INFO(answer.status().message);
  REQUIRE(answer.ok());
  std::string text;
  for (const Source& source : answer.value().sources) {
    CHECK(source.file == "stones.txt");
    text += source.text;
  }
  CHECK(text.find("Stone 0 by the river is blue.") == 0);
  CHECK(text.find("The keeper of the gate is called Orrin.\n") != std::string::npos);
}

}  // namespace

TEST_CASE("a store of any version there has been opens, verifies, answers, exports and grows", "[runtime]") {
  IngestBench bench;
  for (const int version : kVersions) {
    CAPTURE(version);
    const auto store = copy_of(bench, version);
    const auto listed = store->list().value();
    REQUIRE(listed.size() == 1);
    INFO(listed[0].problem);
    CHECK((listed[0].name == "stones" && listed[0].state == "complete"));
    CHECK(verify(*store, {}).value().at(0).state == "ok");
    check_answers(bench, *store, "stones");

    const std::string file = store->dir() + "/stones.reform";
    REQUIRE(export_context(*store, "stones", {file, false, {}}).ok());
    if (version == kVersions[std::size(kVersions) - 1])
      CHECK((read_file(file) == read_file(golden_path("context_v" + std::to_string(version) + ".reform"))));

    IngestOptions options = IngestBench::options("h2o");
    options.on_existing = IngestOptions::OnExisting::kAppend;
    const auto grown = bench.ingest_into(*store, "stones", "One more stone.", options);
    INFO(grown.status().message);
    REQUIRE(grown.ok());
    CHECK(verify(*store, {}).value().at(0).state == "ok");
  }
}

TEST_CASE("an archive of any version there has been can be imported", "[runtime]") {
  IngestBench bench;
  for (const int version : kVersions) {
    CAPTURE(version);
    const std::string file = golden_path("context_v" + std::to_string(version) + ".reform");
    const auto imported = import_context(bench.store(), {file, {}}, {});
    INFO(imported.status().message);
    REQUIRE(imported.ok());
    CHECK(imported.value().context.name == "stones");
    CHECK(verify(bench.store(), {"stones"}).value().at(0).state == "ok");
    check_answers(bench, bench.store(), "stones");
    REQUIRE(bench.store().remove("stones").ok());
  }
}

TEST_CASE("a context of a version that this program does not know is refused, with both versions named", "[runtime]") {
  IngestBench bench;
  const struct {
    int version;
    const char* says;
  } cases[] = {{3, "has format version 3, this program reads up to 2"},
               {0, "has format version 0, this program reads 1 and later"}};
  for (const auto& c : cases) {
    CAPTURE(c.version);
    std::string dir;
    auto store = copy_of(bench, 1, &dir);
    const std::string ledger = fs::directory_iterator(dir + "/contexts")->path().string() + "/context.json";
    auto json = nlohmann::json::parse(read_file(ledger));
    json["format"] = c.version;
    std::ofstream(ledger) << json.dump();
    const std::string before = read_file(ledger);

    const std::string id = store->list().value().at(0).id;
    CHECK(store->list().value().at(0).state == "damaged");
    CHECK(store->list().value().at(0).problem.find(c.says) != std::string::npos);
    CHECK(verify(*store, {}).value().at(0).problems.at(0).find(c.says) != std::string::npos);
    const auto answer = ask(bench.engine(), *store, {id}, "Who keeps the gate?", {});
    CHECK(answer.status().code == Code::kCorrupt);
    CHECK(answer.status().message.find(c.says) != std::string::npos);
    CHECK(read_file(ledger) == before);
  }

  std::string archive = read_file(golden_path("context_v1.reform"));
  for (const int version : {0, 2, 300}) {
    CAPTURE(version);
    archive[8] = char(version), archive[9] = char(version >> 8);
    const std::string file = bench.store().dir() + "/other.reform";
    std::ofstream(file, std::ios::binary) << archive;
    const Status status = import_context(bench.store(), {file, {}}, {}).status();
    CHECK(status.code == Code::kCorrupt);
    CHECK(status.message.find("has archive version " + std::to_string(version) + ", this program reads ") !=
          std::string::npos);
    CHECK(bench.store().list().value().empty());
  }
}
