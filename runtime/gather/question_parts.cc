#include "runtime/gather/question_parts.h"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

constexpr double kLeastShare = 0.25;      // of the heaviest part's weight: what has less is no part of its own
constexpr double kOtherPartsShare = 0.1;  // of a token's weight where another part is looked for: "When did she die?"

// A run of marks asks if one of the first two lists is in it: "?!".
constexpr std::u32string_view kQuestionMarks = U"?";
// No address or code has these within a word, so they need no space behind them.
constexpr std::u32string_view kWideQuestionMarks = U"\uff1f\u061f\u2047\u2048\u2049\u203d";
constexpr std::u32string_view kExclamationMarks = U"!\uff01";
constexpr std::u32string_view kClosing =
    U"\"')]}\u00bb\u2019\u201c\u201d\u203a\u300d\u300f\u3009\u300b\u3011\uff09\uff3d";

struct Character {
  uint32_t code_point;
  size_t end_byte;

  bool is_one_of(std::u32string_view set) const { return set.find(char32_t(code_point)) != std::u32string_view::npos; }
  bool asks() const { return is_one_of(kQuestionMarks) || is_one_of(kWideQuestionMarks); }
};

std::vector<Character> characters(std::string_view text) {
  std::vector<Character> all;
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = decode_utf8(text, pos);
    pos += c.n_bytes;
    all.push_back({c.kind == Utf8Char::Kind::kValid ? c.code_point : 0xFFFD, pos});
  }
  return all;
}

// Where the sentences that ask end, in bytes, the quotes and brackets behind their marks included.
std::vector<size_t> asking_ends(std::span<const Character> text) {
  std::vector<size_t> ends;
  for (size_t at = 0; at < text.size();) {
    bool asks = false, wide = false;
    size_t end = at;
    for (; end < text.size() && (text[end].asks() || text[end].is_one_of(kExclamationMarks)); ++end)
      asks = asks || text[end].asks(), wide = wide || text[end].is_one_of(kWideQuestionMarks);
    while (asks && end < text.size() && text[end].is_one_of(kClosing)) ++end;
    const bool stops = wide || end == text.size() || char_class(text[end].code_point) == CharClass::kSpace;
    if (asks && stops) ends.push_back(text[end - 1].end_byte);
    at = std::max(at + 1, end);
  }
  return ends;
}

// The same ends in tokens; the last is the question's.
std::vector<size_t> question_ends(std::span<const std::string> tokens) {
  std::string joined;
  for (const std::string& token : tokens) joined += token;
  const std::vector<Character> text = characters(joined);
  std::vector<size_t> ends;
  size_t t = 0, n_bytes = 0, asked_bytes = 0;
  for (const size_t end_byte : asking_ends(text)) {
    for (; n_bytes < end_byte; ++t) n_bytes += tokens[t].size();
    if (ends.empty() || ends.back() != t) ends.push_back(t);
    asked_bytes = end_byte;
  }
  // What comes after the last question mark asks nothing, and belongs to what was asked before it.
  const bool asks = std::ranges::any_of(text, [&](const Character& c) { return c.end_byte > asked_bytes && c.asks(); });
  if (!ends.empty() && !asks) ends.pop_back();
  ends.push_back(tokens.size());
  return ends;
}

// Joins what is too light to its neighbour, the one before if there is one.
void join_light_parts(std::vector<size_t>& ends, std::span<const double> weights) {
  const auto weight = [&](size_t part) {
    const size_t begin = part == 0 ? 0 : ends[part - 1];
    return std::accumulate(weights.begin() + ptrdiff_t(begin), weights.begin() + ptrdiff_t(ends[part]), 0.0);
  };
  double heaviest = 0;
  for (size_t part = 0; part < ends.size(); ++part) heaviest = std::max(heaviest, weight(part));
  for (size_t part = 0; part < ends.size() && ends.size() > 1;) {
    if (weight(part) >= kLeastShare * heaviest) {
      ++part;
    } else {
      ends.erase(ends.begin() + ptrdiff_t(part == 0 ? 0 : part - 1));
    }
  }
}

}  // namespace

std::vector<std::vector<double>> question_parts(std::span<const std::string> tokens, std::span<const double> weights) {
  std::vector<size_t> ends = question_ends(tokens);
  if (ends.size() > kMostQuestionParts) ends = {tokens.size()};
  join_light_parts(ends, weights);
  std::vector<std::vector<double>> parts;
  size_t begin = 0;
  for (const size_t end : ends) {
    std::vector<double>& part = parts.emplace_back(weights.begin(), weights.end());
    for (size_t t = 0; t < part.size(); ++t) {
      if (t < begin || t >= end) part[t] *= kOtherPartsShare;
    }
    begin = end;
  }
  return parts;
}

}  // namespace reform
