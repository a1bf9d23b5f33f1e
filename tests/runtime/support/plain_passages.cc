#include "tests/runtime/support/plain_passages.h"

#include <algorithm>
#include <utility>

#include "runtime/tokenizer/unicode.h"

namespace reform::test {

using Texts = std::vector<std::string>;  // one for each token

std::string trimmed(const std::string& text, const std::string& before, const std::string& after) {
  const size_t begin = text.find_first_not_of(before);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(after) + 1 - begin);
}

bool ends_with_any(const std::string& text, const Texts& ends) {
  return std::ranges::any_of(ends, [&](const std::string& end) { return text.ends_with(end); });
}

namespace {

// Most of the last lines before token p, which begins one, are about as long as the longest, and so is the last.
bool is_full_line(const Texts& tokens, size_t p) {
  double width = 0, full = 0, chars = 0, last = 0;
  bool last_is_full = false;
  for (size_t t = 0; t < p; ++t) {
    if (tokens[t].find('\n') == std::string::npos) {
      chars += double(std::ranges::count_if(tokens[t], [](char c) { return (c & 0xc0) != 0x80; }));
      continue;
    }
    last = std::exchange(chars, 0);
    const auto is_full = [&] { return width >= 40 && width <= 120 && last + 12 >= width; };
    if (last > 0) width = std::max(last, width * (1 - 1 / 64.0)), full += (is_full() - full) / 16;
    last_is_full = is_full();
  }
  return full > 0.4 && last_is_full;
}

}  // namespace

PlainPlace::PlainPlace(const Texts& tokens, size_t p) {
  const std::string kSpaces = " \t\r\n", &last = tokens[p - 1], &next = tokens[p];
  const auto has_feed = [](const std::string& text) { return text.find('\n') != std::string::npos; };
  const std::string end = trimmed(last, kSpaces, kSpaces + "\"')]");
  const bool stop = ends_with_any(end, {".", "!", "?"}), wide = ends_with_any(end, {"。", "！", "？", "؟", "۔"});
  line_end = has_feed(last);
  blank_line = std::ranges::count(last, '\n') > 1 ||
               (line_end && trimmed(last, kSpaces, kSpaces).empty() && p > 1 && has_feed(tokens[p - 2]));
  const CharClass first = next.empty() ? CharClass::kOther : char_class(decode_utf8(next, 0).code_point);
  const bool space = !next.empty() && kSpaces.find(next[0]) != std::string::npos;
  wrapped = line_end && !blank_line && !stop && !wide &&
            (first == CharClass::kLower ||
             ((first == CharClass::kUpper || space) && !has_feed(next) && is_full_line(tokens, p)));
  sentence_end = (line_end && !wrapped) || wide || (stop && (line_end || space));
}

std::vector<int64_t> plain_cuts(const std::vector<std::string>& tokens) {
  std::vector<int64_t> ends;
  size_t begin = 0;
  for (size_t p = 1; p < tokens.size(); ++p) {
    const PlainPlace here(tokens, p);
    const size_t length = p - begin;
    size_t end = 0;
    if (here.line_end && !here.wrapped && length >= (here.blank_line ? 24 : 48)) {
      end = p;
    } else if (length >= 96) {
      end = p;
      for (size_t q = begin + 24; q <= p; ++q) {
        if (PlainPlace(tokens, q).line_end) end = q;
      }
      for (size_t q = begin + 24; q <= p; ++q) {
        if (PlainPlace(tokens, q).sentence_end) end = q;
      }
    }
    if (end > 0) ends.push_back(int64_t(end)), begin = end;
  }
  if (!tokens.empty()) ends.push_back(int64_t(tokens.size()));
  return ends;
}

std::vector<int64_t> plain_sentences(const Texts& tokens) {
  std::vector<int64_t> ends = {0};
  for (size_t p = 1; p < tokens.size(); ++p) {
    if (PlainPlace(tokens, p).sentence_end && int64_t(p) - ends.back() >= 6) ends.push_back(int64_t(p));
  }
  ends.erase(ends.begin());
  ends.push_back(int64_t(tokens.size()));
  return ends;
}

}  // namespace reform::test
