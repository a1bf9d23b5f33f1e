// The store's cap, pins and the doctor, through the command.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/files.h"
#include "tests/tools/command.h"

using namespace reform::test;
using Json = nlohmann::json;
using Args = std::vector<std::string>;

namespace {

struct Tool : Sandbox {
  std::string heads = heads_file();
  std::string store = path("store");

  CommandResult ingest(const std::string& name, const std::string& text, const Args& more = {}) const {
    Args args = {"ingest",
                 "--model",
                 golden_path("tiny_qwen2.gguf"),
                 "--heads",
                 heads,
                 "-t",
                 "1",
                 "--store",
                 store,
                 "--chunk-tokens",
                 "64",
                 "--cache-tokens",
                 "64",
                 "--json",
                 name,
                 text};
    args.insert(args.end(), more.begin(), more.end());
    return run(args);
  }
  CommandResult verb(const std::string& verb, const Args& names) const {
    Args args = {verb, "--store", store, "--json"};
    args.insert(args.end(), names.begin(), names.end());
    return run(args);
  }
  Json contexts() const { return Json::parse(verb("contexts", {}).out); }
};

std::string story(int n, int first) {
  std::string text;
  for (int i = first; i < first + n; ++i) text += "Stone " + std::to_string(i * 7919 % 10007) + " lies in the river. ";
  return text;
}

}  // namespace

TEST_CASE("cap: --max-store-bytes stops, --when-full evict makes room, pin keeps", "[tools]") {
  const Tool tool;
  const std::string text = tool.write("a.txt", story(60, 0)), more = tool.write("b.txt", story(60, 500));
  CHECK(tool.ingest("a", text, {"--max-store-bytes", "much"}).exit_code == 2);
  CHECK(tool.ingest("a", text, {"--when-full", "panic"}).exit_code == 2);
  CommandResult r = tool.ingest("a", text, {"--max-store-bytes", "1MiB"});
  CHECK(r.exit_code == 10);
  CHECK(Json::parse(r.out)["error"]["name"] == "no_space");
  CHECK(tool.contexts()["contexts"].empty());
  REQUIRE(tool.ingest("a", text, {"--max-store-bytes", "0"}).exit_code == 0);
  REQUIRE(tool.ingest("b", tool.write("large.txt", story(300, 0))).exit_code == 0);
  Json seen = tool.contexts();
  CHECK(seen["max_store_bytes"].is_null());
  CHECK(seen["when_full"] == "stop");

  REQUIRE(tool.verb("pin", {"a"}).exit_code == 0);
  CHECK(Json::parse(tool.verb("show", {"a"}).out)["context"]["pinned"] == true);
  CHECK(tool.verb("pin", {"nobody"}).exit_code == 3);
  const int64_t used = seen["used_bytes"].get<int64_t>();
  // Without b there would be room to begin, but not for the text.
  const int64_t b_bytes = Json::parse(tool.verb("show", {"b"}).out)["context"]["disk_bytes"].get<int64_t>();
  const std::string too_small = std::to_string(used - b_bytes + (int64_t{2} << 20) + 220'000);
  r = tool.ingest("c", more, {"--max-store-bytes", too_small, "--when-full", "evict"});
  CHECK(r.exit_code == 10);
  CHECK(r.err.find("so none was removed: raise --max-store-bytes") != std::string::npos);
  CHECK(tool.contexts()["contexts"].size() == 2);
  // The cap has room for what each step may need, but not for all that the steps leave.
  const std::string cap = std::to_string(used + (int64_t{2} << 20) + 350'000);
  r = tool.ingest("c", more, {"--max-store-bytes", cap, "--when-full", "evict"});
  INFO(r.err << r.out);
  REQUIRE(r.exit_code == 0);
  const Json evicted = Json::parse(r.out)["evicted"];
  REQUIRE(evicted.size() == 1);
  CHECK(evicted[0]["context"] == "b");
  CHECK(r.err.find("context 'b' has gone") != std::string::npos);
  seen = tool.contexts();
  CHECK(seen["max_store_bytes"] == std::stoll(cap));
  CHECK(seen["when_full"] == "evict");
  REQUIRE(seen["contexts"].size() == 2);
  CHECK(seen["contexts"][0]["pinned"] == true);
  REQUIRE(tool.verb("unpin", {"a"}).exit_code == 0);
  CHECK(tool.contexts()["contexts"][0]["pinned"] == false);

  CHECK(tool.contexts()["contexts"][0]["last_asked_unix_s"].is_null());
  REQUIRE(tool.run({"ask", "--store", tool.store, "--chat-template", "chatml", "--gather-tokens", "32", "--edge-tokens",
                    "8", "-n", "0", "a", "where?"})
              .exit_code == 0);
  CHECK(tool.contexts()["contexts"][0]["last_asked_unix_s"].get<int64_t>() > 0);
}

TEST_CASE("doctor looks, measures, and leaves nothing behind, stopped or not", "[tools]") {
  const Tool tool;
  std::filesystem::create_directory(tool.store);
  CommandResult r = tool.run({"doctor", "--store", tool.store});
  INFO(r.err << r.out);
  REQUIRE(r.exit_code == 0);
  for (const char* line : {"kernel", "cpu", "threads", "memory", "gpu", "store", "file system", "i/o", "disk"}) {
    CAPTURE(line);
    CHECK(("\n" + r.out).find("\n" + std::string(line) + " ") != std::string::npos);
  }
  CHECK(std::filesystem::is_empty(tool.store));
  CommandInput stop;
  stop.signal_when = [] { return true; };
  r = tool.run({"doctor", "--store", tool.store, "--json"}, stop);
  CHECK(r.exit_code == 130);
  CHECK(std::filesystem::is_empty(tool.store));
  std::filesystem::create_directories(tool.path("real/deep"));
  std::filesystem::create_directory_symlink("real/deep", tool.path("link"));
  r = tool.run({"doctor", "--store", tool.path("link/../not/there"), "--json"});
  REQUIRE(r.exit_code == 0);
  CHECK(Json::parse(r.out)["disk"]["measured"] == std::filesystem::canonical(tool.path("real")).string());
  CHECK_FALSE(std::filesystem::exists(tool.path("real/not")));
}
