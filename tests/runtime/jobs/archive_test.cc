// Export, import and verify with a model: the file is the same however the context was made, the answers are the same
// in another store, and files of the first version, kept as they were written, can still be read.
#include <reform/archive.h>
#include <reform/verify.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/jobs/store_impl.h"
#include "tests/runtime/support/archive_bytes.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/model_support.h"

using namespace reform;
using namespace reform::test;

namespace {

// Ingests a source whose name is a path, always the same one.
Result<IngestResult> ingest_as(IngestBench& bench, const std::string& name, const std::string& path,
                               const std::string& text, const IngestOptions& options,
                               const IngestProgressCallback& progress = {}, const CancelToken* cancel = nullptr) {
  std::istringstream in(text);
  return ingest(bench.engine(), bench.store(), name, {{path, &in}}, options, progress, cancel);
}

// Ingests in pieces: each call is stopped after one chunk, until one finishes.
int ingest_in_pieces(IngestBench& bench, const std::string& name, const std::string& path, const std::string& text,
                     const IngestOptions& options) {
  for (int n_stops = 0;; ++n_stops) {
    CancelToken cancel;
    int64_t first = -1;
    const auto stop = [&](const IngestProgress& p) {
      if (p.phase != "compress") return;
      if (first < 0) first = p.tokens_done;
      if (p.tokens_done >= first + 64) cancel.cancel();  // one chunk further each time
    };
    const auto r = ingest_as(bench, name, path, text, options, stop, &cancel);
    if (r.ok()) return n_stops;
    INFO(r.status().message);
    REQUIRE(r.status().code == Code::kCancelled);
    REQUIRE(n_stops < 100);
  }
}

IngestOptions appending(IngestOptions options) {
  options.on_existing = IngestOptions::OnExisting::kAppend;
  return options;
}

AskResult answer(Engine& engine, Store& store, const std::string& name) {
  AskOptions options;
  options.sampling.max_new_tokens = 4;
  options.gather_tokens = 48, options.edge_tokens = 8, options.pool_window = 5;
  auto r = ask(engine, store, {name}, "where are the blue stones?", options);
  INFO(r.status().message);
  REQUIRE(r.ok());
  return std::move(r).value();
}

void check_same_answer(const AskResult& a, const AskResult& b) {
  CHECK(a.answer == b.answer);
  CHECK(a.prompt == b.prompt);
  REQUIRE(a.sources.size() == b.sources.size());
  for (size_t i = 0; i < a.sources.size(); ++i) {
    const Source &x = a.sources[i], &y = b.sources[i];
    CHECK((x.begin_byte == y.begin_byte && x.end_byte == y.end_byte && x.edge == y.edge && x.score == y.score));
    CHECK(x.text == y.text);
  }
}

bool holds(const std::string& bytes, const std::string& part) { return bytes.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("export: the same bytes however often the ingest was stopped, with any number of threads", "[runtime]") {
  IngestBench one(1), two(2);
  for (const std::string& policy : every_policy()) {
    const std::string text = made_text(200 + policy.size(), 1300), more = made_text(201 + policy.size(), 500);
    IngestOptions options = IngestBench::options(policy);
    if (one.store().find("c").ok()) REQUIRE(one.store().remove("c").ok());
    REQUIRE(ingest_as(one, "c", "/one/place/a.txt", text, options).ok());
    const std::string whole = exported(one.store(), "c");
    REQUIRE(ingest_as(one, "c", "/one/place/b.txt", more, appending(options)).ok());
    const std::string both = exported(one.store(), "c");
    for (IngestBench* bench : {&one, &two}) {
      for (const double checkpoint_seconds : {0.0, 1000.0}) {
        CAPTURE(policy, checkpoint_seconds, bench == &two);
        if (bench->store().find("c").ok()) REQUIRE(bench->store().remove("c").ok());
        options.checkpoint_seconds = checkpoint_seconds;
        if (checkpoint_seconds == 0) {
          CHECK(ingest_in_pieces(*bench, "c", "a.txt", text, options) > 4);
        } else {
          REQUIRE(ingest_as(*bench, "c", "a.txt", text, options).ok());
        }
        CHECK((exported(bench->store(), "c") == whole));
        if (checkpoint_seconds == 0) {
          CHECK(ingest_in_pieces(*bench, "c", "elsewhere/b.txt", more, appending(options)) > 0);
        } else {
          REQUIRE(ingest_as(*bench, "c", "elsewhere/b.txt", more, appending(options)).ok());
        }
        CHECK((exported(bench->store(), "c") == both));
      }
    }
  }
}

TEST_CASE("export: no folder, id or date is in the file", "[runtime]") {
  IngestBench bench;
  REQUIRE(ingest_as(bench, "c", "/secret/folder/a.txt", made_text(3, 600), IngestBench::options("h2o")).ok());
  const ContextInfo info = bench.store().find("c").value();
  const std::string bytes = exported(bench.store(), "c");
  CHECK(holds(bytes, "\"a.txt\""));
  for (const std::string& trace :
       {std::string("secret"), std::string("folder"), info.id, info.model_path, std::string("tiny_qwen2.gguf"),
        bench.store().dir(), std::to_string(info.created_unix_s)}) {
    CAPTURE(trace);
    CHECK_FALSE(holds(bytes, trace));
  }
}

TEST_CASE("import: the context answers, shows its sources and grows as the original does", "[runtime]") {
  IngestBench from, to;
  for (const std::string policy : {"h2o", "none"}) {
    CAPTURE(policy);
    const IngestOptions options = IngestBench::options(policy);
    const std::string text = made_text(210, 1200), more = made_text(211, 400);
    const std::string name = "original " + policy;
    REQUIRE(ingest_as(from, name, "a.txt", text, options).ok());
    const std::string bytes = exported(from.store(), name);

    ImportOptions import_options;
    import_options.name = "copy " + policy;
    const auto imported = import_bytes(to.store(), bytes, import_options);
    INFO(imported.status().message);
    REQUIRE(imported.ok());
    const ContextInfo& info = imported.value().context;
    CHECK((info.state == "complete" && info.name == "copy " + policy && info.model_path.empty()));
    CHECK(info.files == std::vector<std::string>{"a.txt"});
    check_same_answer(answer(from.engine(), from.store(), name), answer(to.engine(), to.store(), "copy " + policy));
    const auto verified = verify(to.store(), {"copy " + policy});
    CHECK(verified.value().at(0).state == "ok");

    // The same text is recognised. More text gives what it gives in the original.
    CHECK(ingest_as(to, "copy " + policy, "a.txt", text, options).value().outcome == IngestResult::Outcome::kUnchanged);
    REQUIRE(ingest_as(from, name, "b.txt", more, appending(options)).ok());
    REQUIRE(ingest_as(to, "copy " + policy, "b.txt", more, appending(options)).ok());
    check_same_answer(answer(from.engine(), from.store(), name), answer(to.engine(), to.store(), "copy " + policy));
  }
}

TEST_CASE("import: the model is checked and remembered where it is said", "[runtime]") {
  IngestBench bench;
  REQUIRE(ingest_as(bench, "c", "a.txt", made_text(3, 300), IngestBench::options("h2o")).ok());
  const std::string bytes = exported(bench.store(), "c");
  ImportOptions options;
  options.name = "d";
  options.cache_dir = bench.store().dir() + "/../cache";
  options.model_path = tiny_path("qwen3");
  const Status other = import_bytes(bench.store(), bytes, options).status();
  CHECK(other.code == Code::kWrongModel);
  CHECK(other.message.find("tiny_qwen3.gguf") != std::string::npos);
  CHECK_FALSE(bench.store().find("d").ok());
  options.model_path = tiny_path("qwen2");
  const auto right = import_bytes(bench.store(), bytes, options);
  REQUIRE(right.ok());
  CHECK(right.value().context.model_path == std::filesystem::absolute(tiny_path("qwen2")).string());
  for (const std::string name : {"c", "d"}) {
    options.name = name;
    CHECK(import_bytes(bench.store(), bytes, options).value().unchanged);
  }
  REQUIRE(ingest_as(bench, "e", "a.txt", made_text(4, 300), IngestBench::options("h2o")).ok());
  options.name = "e";
  CHECK(import_bytes(bench.store(), bytes, options).status().code == Code::kExists);
  CHECK(import_bytes(bench.store(), bytes, options).status().message.find("--as") != std::string::npos);
}

TEST_CASE("import: texts of the runtime's that it cannot read are refused", "[runtime]") {
  IngestBench bench;
  REQUIRE(ingest_as(bench, "c", "a.txt", made_text(3, 300), IngestBench::options("h2o")).ok());
  // Read back through the store, which does not know the texts' contents.
  ContextStore& store = *bench.store().impl().contexts;
  struct {
    const char* what;
    std::function<void(ContextMeta&)> change;
  } cases[] = {
      {"settings", [](ContextMeta& t) { t.settings = "{\"policy\":\"h2o\"}"; }},
      {"settings", [](ContextMeta& t) { t.settings = std::string(100'000, '['); }},
      {"sources", [](ContextMeta& t) { t.sources = "[{\"name\":\"a\"}]"; }},
      {"sources",
       [](ContextMeta& t) { t.sources = "[{\"name\":\"a\",\"begin_byte\":9223372036854775807,\"size_bytes\":1}]"; }},
      {"heads", [](ContextMeta& t) {
         auto json = nlohmann::ordered_json::parse(t.settings);
         json["heads"].push_back("q0.0");
         t.settings = json.dump();
       }}};
  for (const auto& c : cases) {
    CAPTURE(c.what);
    std::string bytes;
    const auto edit = [&](ContextMeta& meta) -> Status {
      c.change(meta);
      return {};
    };
    const auto sink = [&](std::span<const std::byte> more) -> Status {
      bytes.append(reinterpret_cast<const char*>(more.data()), more.size());
      return {};
    };
    REQUIRE(store.export_context("c", edit, sink, {}).ok());
    const Status status = import_bytes(bench.store(), bytes).status();
    INFO(status.message);
    CHECK(status.code == Code::kCorrupt);
    CHECK(status.message.find(c.what) != std::string::npos);
    CHECK(status.message.starts_with("the bytes: "));
  }
}

TEST_CASE("import: a list of files that does not cover the text is refused, and verify finds one", "[runtime]") {
  IngestBench bench;
  REQUIRE(bench.ingest("three", {made_text(1, 700), made_text(4, 200), made_text(2, 300)}, IngestBench::options("h2o"))
              .ok());
  using nlohmann::json;
  const auto forged = [&](const std::function<void(json&)>& change) {
    std::string bytes;
    const EditMeta edit = [&](ContextMeta& meta) {
      json sources = json::parse(meta.sources);
      change(sources);
      meta.sources = sources.dump();
      return Status{};
    };
    const ByteSink sink = [&](std::span<const std::byte> more) {
      bytes.append(reinterpret_cast<const char*>(more.data()), more.size());
      return Status{};
    };
    REQUIRE(bench.store().impl().contexts->export_context("three", edit, sink, {}).ok());
    return bytes;
  };
  ImportOptions as;
  as.name = "other";
  CHECK(import_bytes(bench.store(), forged([](json&) {}), as).ok());
  REQUIRE(bench.store().remove("other").ok());
  for (const std::function<void(json&)>& change : std::vector<std::function<void(json&)>>{
           [](json& s) { s = json::array(); },
           [](json& s) { s.erase(2); },
           [](json& s) { s.erase(0); },
           [](json& s) { s[0]["size_bytes"] = 699; },
           [](json& s) { s[2]["size_bytes"] = 301; },
           [](json& s) { s[0]["size_bytes"] = 701, s[2]["size_bytes"] = 299; },
           [](json& s) { s[2]["begin_byte"] = 0; },
           [](json& s) { s.push_back(s[2]); },
       }) {
    const Status status = import_bytes(bench.store(), forged(change), as).status();
    CHECK(status.code == Code::kCorrupt);
    CHECK(status.message.find("its file") != std::string::npos);
    CHECK(bench.store().find("other").status().code == Code::kNotFound);
  }
  // However a context was made, its files cover its text.
  const std::string text = made_text(3, 900);
  IngestOptions lossy = IngestBench::options("none");
  lossy.lossy = true;
  REQUIRE(bench.ingest("marked", {"\xef\xbb\xbf" + text, text}, IngestBench::options("recent")).ok());
  REQUIRE(bench.ingest("lossy", {text + "\xff\xfe" + text + "\xe2\x82"}, lossy).ok());
  REQUIRE(bench.ingest("lossy", {text}, appending(lossy)).ok());
  std::string wide;
  for (const char c : std::string("Plain words in two bytes each.\r\n")) wide += c, wide += '\0';
  IngestOptions utf16 = IngestBench::options("h2o");
  utf16.encoding = "UTF-16LE";
  REQUIRE(bench.ingest("wide", {wide, "\xff\xfe" + wide}, utf16).ok());
  utf16.encoding = "UTF-16";
  REQUIRE(bench.ingest("wider", {"\xff\xfe" + wide, "\xff\xfe" + wide}, utf16).ok());
  const auto verified = verify(bench.store(), {});
  REQUIRE(verified.ok());
  CHECK(verified.value().size() == 5);
  for (const VerifiedContext& context : verified.value()) {
    CAPTURE(context.name, context.problems);
    CHECK(context.state == "ok");
  }
}
