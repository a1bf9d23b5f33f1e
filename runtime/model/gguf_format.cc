#include "runtime/model/gguf_format.h"

#include <fmt/format.h>

#include <iterator>

namespace reform::gguf {
namespace {

// One row per Kind, in the enum's order.
constexpr KindInfo kKinds[] = {
    {"uint8", 1},   {"int8", 1}, {"uint16", 2}, {"int16", 2},  {"uint32", 4}, {"int32", 4},   {"float32", 4},
    {"boolean", 1}, {"text", 0}, {"array", 0},  {"uint64", 8}, {"int64", 8},  {"float64", 8},
};
static_assert(std::size(kKinds) == size_t(Kind::kCount), "a new Kind needs a row in kKinds");

}  // namespace

const KindInfo& info(Kind kind) { return kKinds[size_t(kind)]; }

std::string in_quotes(std::string_view name) {
  constexpr size_t kShown = 64;
  std::string out = "'";
  for (const char c : name.substr(0, kShown)) {
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", uint8_t(c));
    }
  }
  return out + (name.size() > kShown ? "…'" : "'");
}

}  // namespace reform::gguf
