#include "runtime/text/progress_state.h"

#include <catch2/catch.hpp>

using namespace reform;

TEST_CASE("a list of sources that grows gives the same JSON as the whole list at any time", "[runtime]") {
  const std::vector<SourceFile> before = {{"a \"quoted\"", 0, 5}, {"not \xff UTF-8", 5, 0}};
  for (const auto& first : {before, std::vector<SourceFile>{}}) {
    GrowingSources growing;
    std::vector<SourceFile> now;
    CHECK(growing.json(first, now) == to_json(first));
    for (int64_t i = 0; i < 7; ++i) {
      now.push_back({"file " + std::to_string(i), 5 + 10 * i, 0});
      for (int64_t bytes : {0, 4, 10}) {  // the last file grows as it is read
        now.back().size_bytes = bytes;
        if (i % 3 == 1) continue;  // several files are new at the next call
        std::vector<SourceFile> all = first;
        all.insert(all.end(), now.begin(), now.end());
        const std::string json = growing.json(first, now);
        CHECK(json == to_json(all));
        CHECK(parse_sources(json, "c").value().size() == all.size());
      }
    }
  }
}
