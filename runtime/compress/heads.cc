#include "runtime/compress/heads.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "runtime/model/model.h"

namespace reform {
namespace {

constexpr char kPartLetters[] = "qkv";
constexpr size_t kMaxChosenHeads = 16;  // more only make every row longer: four do as well as eight

}  // namespace

std::string to_string(const HeadRef& head) {
  return fmt::format("{}{}.{}", kPartLetters[size_t(head.part)], head.layer, head.head);
}

std::string to_string(const Heads& heads) {
  std::string text;
  for (const HeadRef& h : heads) text += (text.empty() ? "" : " ") + to_string(h);
  return text;
}

Result<HeadRef> parse_head(const std::string& text) {
  const Status bad{Code::kUsage,
                   fmt::format("'{}' is no head: expected q, k or v, layer, '.', head, as in q14.9", text)};
  const size_t part = text.empty() ? std::string::npos : std::string(kPartLetters).find(text[0]);
  const size_t dot = text.find('.');
  if (part == std::string::npos || dot == std::string::npos) return bad;
  HeadRef head{.part = HeadRef::Part(part)};
  const char *begin = text.data() + 1, *middle = text.data() + dot, *end = text.data() + text.size();
  const auto layer = std::from_chars(begin, middle, head.layer);
  const auto index = std::from_chars(middle + 1, end, head.head);
  if (layer.ec != std::errc() || layer.ptr != middle || index.ec != std::errc() || index.ptr != end) return bad;
  return head;
}

int64_t exit_layer(const Heads& heads) {
  int64_t top = 0;
  for (const HeadRef& h : heads) top = std::max(top, h.layer);
  return top;
}

Status check_heads(const Heads& heads, const ModelShape& shape) {
  if (heads.empty() || heads.size() > kMaxChosenHeads) {
    return {Code::kUsage, fmt::format("{} heads chosen; expected 1 to {}", heads.size(), kMaxChosenHeads)};
  }
  for (const HeadRef& h : heads) {
    const int64_t n = h.part == HeadRef::Part::kQ ? shape.n_heads : shape.n_kv_heads;
    if (h.layer < 0 || h.layer >= shape.n_layers || h.head < 0 || h.head >= n) {
      return {Code::kUsage, fmt::format("head {} does not exist: the model has {} layers, {} query and {} KV heads",
                                        to_string(h), shape.n_layers, shape.n_heads, shape.n_kv_heads)};
    }
    if (std::count(heads.begin(), heads.end(), h) > 1) {
      return {Code::kUsage, fmt::format("head {} is named twice", to_string(h))};
    }
  }
  return {};
}

Heads synthetic_heads(const ModelShape& shape) {
  const int64_t top = shape.n_layers * 7 / 10;
  return {{top, HeadRef::Part::kQ, 0},
          {top, HeadRef::Part::kK, shape.n_kv_heads - 1},
          {top * 3 / 4, HeadRef::Part::kQ, shape.n_heads / 2},
          {top / 2, HeadRef::Part::kV, 0}};
}

}  // namespace reform
