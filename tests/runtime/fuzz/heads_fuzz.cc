// Any text as a heads file or a context's settings: refused with a message, or read as what is written back the same.
// The first byte says which it is.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/try.h"
#include "runtime/compress/head_set.h"
#include "runtime/jobs/settings.h"
#include "runtime/model/model.h"

namespace {

using namespace reform;

void check_maps(const ScoreMaps& maps, size_t n_heads) {
  if (maps.empty()) return;
  CHECK(maps.heads.size() == n_heads);
  double sum = maps.lexical(0) + maps.lexical(1) + maps.length_weight * std::log(96.0);
  for (const ScoreMap& head : maps.heads) sum += head(-1) + head(1);
  CHECK(std::isfinite(sum) && std::isfinite(float(sum)));
  CHECK(std::isfinite(maps.confidence_offset + maps.confidence_slope * sum));
}

void read_heads(const std::string& text) {
  ModelShape shape;
  shape.n_layers = 24, shape.n_heads = 14, shape.n_kv_heads = 2;
  const auto sets = parse_heads_file(text, "f", shape);
  CHECK(sets.ok() || sets.status().message.starts_with("f: "));
  if (!sets.ok()) return;
  CHECK(!sets.value().empty());
  for (const auto& [depth, set] : sets.value()) {
    CHECK(check_heads(set.heads, shape).ok());
    CHECK(set.maps.empty() == (depth == "paper"));
    check_maps(set.maps, set.heads.size());
  }
  const std::string written = heads_file_json(sets.value(), "m", "f00");
  const auto again = parse_heads_file(written, "f", shape, "f00");
  CHECK(again.ok());
  CHECK(heads_file_json(again.value(), "m", "f00") == written);
}

void read_settings(const std::string& text) {
  const auto settings = parse_settings(text, "c");
  if (!settings.ok()) return;
  check_maps(settings.value().maps, settings.value().heads.size());
  const std::string written = to_json(settings.value());
  const auto again = parse_settings(written, "c");
  CHECK(again.ok());
  CHECK(to_json(again.value()) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  data[0] % 2 == 0 ? read_heads(text) : read_settings(text);
  return 0;
}
