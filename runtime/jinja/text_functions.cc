#include "runtime/jinja/text_functions.h"

#include <algorithm>
#include <cstring>

namespace reform::jinja {
namespace {

bool is_cased(int32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

// Greek's sigma has another small form at a word's end.
constexpr int32_t kSigma = 0x3a3;
std::string lower_sigma(std::string_view text, const Character& c) {
  const bool after = c.begin > 0 && is_cased(character_before(text, c.begin).code_point);
  const bool before = c.end < text.size() && is_cased(character_at(text, c.end).code_point);
  return after && !before ? "\u03c2" : "\u03c3";
}

void append_in_case(Text& result, const Text& text, const Character& c, Case wanted) {
  if (c.code_point < 0) return result.append(text, c.begin, c.end);
  const bool is_sigma = c.code_point == kSigma && wanted == Case::kLower;
  result.append_made_from(is_sigma ? lower_sigma(text.bytes(), c) : in_case(c.code_point, wanted), text, c.begin,
                          c.end);
}

template <class CaseOf>
Text with_cases(const Text& text, CaseOf case_of) {
  Text result;
  for (size_t pos = 0; pos < text.size();) {
    const Character c = character_at(text.bytes(), pos);
    append_in_case(result, text, c, case_of(c));
    pos = c.end;
  }
  return result;
}

template <class Drops>
Text stripped_of(const Text& text, Side side, Drops drops) {
  const std::string& bytes = text.bytes();
  size_t begin = 0, end = bytes.size();
  while (side != Side::kRight && begin < end) {
    const Character c = character_at(bytes, begin);
    if (!drops(c)) break;
    begin = c.end;
  }
  while (side != Side::kLeft && begin < end) {
    const Character c = character_before(bytes, end);
    if (c.begin < begin || !drops(c)) break;
    end = c.begin;
  }
  return text.part(begin, end);
}

bool is_line_end(int32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

std::string html_escape(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '\'':
      return "&#39;";
    case '"':
      return "&#34;";
    default:
      return "";
  }
}

}  // namespace

Text cased(const Text& text, Case wanted) {
  return with_cases(text, [&](const Character&) { return wanted; });
}

Text capitalized(const Text& text) {
  return with_cases(text, [](const Character& c) { return c.begin == 0 ? Case::kTitle : Case::kLower; });
}

Text titled(const Text& text) {
  bool in_word = false;
  return with_cases(text, [&](const Character& c) {
    const Case wanted = in_word ? Case::kLower : Case::kTitle;
    in_word = is_cased(c.code_point);
    return wanted;
  });
}

Text stripped(const Text& text, Side side) {
  return stripped_of(text, side, [](const Character& c) { return is_space(c.code_point); });
}

Text stripped(const Text& text, Side side, std::string_view characters) {
  return stripped_of(text, side, [&](const Character& c) {
    const std::string_view one = std::string_view(text.bytes()).substr(c.begin, c.end - c.begin);
    for (size_t pos = 0; pos < characters.size();) {
      const Character other = character_at(characters, pos);
      if (characters.substr(other.begin, other.end - other.begin) == one) return true;
      pos = other.end;
    }
    return false;
  });
}

int64_t strip_steps(const Text& text, const Text& characters) {
  return int64_t(text.size() / 8 + 1) * int64_t(characters.size() / 8 + 1);
}

size_t find_part(std::string_view text, std::string_view part, size_t pos) {
  if (pos > text.size()) return text.npos;
  const void* const found = memmem(text.data() + pos, text.size() - pos, part.data(), part.size());
  return found == nullptr ? text.npos : size_t(static_cast<const char*>(found) - text.data());
}

std::vector<Text> split_at_space(const Text& text, int64_t limit, bool from_right) {
  struct Word {
    size_t begin, end;
  };
  std::vector<Word> words;
  for (size_t pos = 0; pos < text.size();) {
    const Character c = character_at(text.bytes(), pos);
    if (!is_space(c.code_point)) {
      if (!words.empty() && words.back().end == c.begin)
        words.back().end = c.end;
      else
        words.push_back({c.begin, c.end});
    }
    pos = c.end;
  }
  if (words.empty()) return {};
  // What is left when the limit is reached keeps the white space at its far end.
  const bool is_cut = limit >= 0 && words.size() > size_t(limit);
  const size_t most = is_cut ? size_t(limit) + 1 : words.size();
  std::vector<Text> parts;
  if (!from_right) {
    for (size_t i = 0; i + 1 < most; ++i) parts.push_back(text.part(words[i].begin, words[i].end));
    const size_t end = is_cut ? text.size() : words.back().end;
    parts.push_back(text.part(words[most - 1].begin, end));
    return parts;
  }
  const size_t first = words.size() - most;
  parts.push_back(text.part(is_cut ? 0 : words[first].begin, words[first].end));
  for (size_t i = first + 1; i < words.size(); ++i) parts.push_back(text.part(words[i].begin, words[i].end));
  return parts;
}

std::vector<Text> split_at(const Text& text, std::string_view separator, int64_t limit, bool from_right) {
  const std::string_view bytes = text.bytes();
  std::vector<Text> parts;
  if (from_right) {
    size_t end = bytes.size();
    while (limit < 0 || int64_t(parts.size()) < limit) {
      const size_t found = bytes.substr(0, end).rfind(separator);
      if (found == bytes.npos) break;
      parts.push_back(text.part(found + separator.size(), end));
      end = found;
    }
    parts.push_back(text.part(0, end));
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t begin = 0;
  while (limit < 0 || int64_t(parts.size()) < limit) {
    const size_t found = find_part(bytes, separator, begin);
    if (found == bytes.npos) break;
    parts.push_back(text.part(begin, found));
    begin = found + separator.size();
  }
  parts.push_back(text.part(begin, bytes.size()));
  return parts;
}

std::vector<Text> split_lines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  const std::string& bytes = text.bytes();
  size_t begin = 0;
  for (size_t pos = 0; pos < bytes.size();) {
    const Character c = character_at(bytes, pos);
    pos = c.end;
    if (!is_line_end(c.code_point)) continue;
    if (c.code_point == '\r' && pos < bytes.size() && bytes[pos] == '\n') ++pos;
    lines.push_back(text.part(begin, keep_ends ? pos : c.begin));
    begin = pos;
  }
  if (begin < bytes.size()) lines.push_back(text.part(begin, bytes.size()));
  return lines;
}

Text replaced(const Text& text, std::string_view old, const Text& with, int64_t limit) {
  Text result;
  size_t begin = 0;
  int64_t n = 0;
  const std::string_view bytes = text.bytes();
  if (old.empty()) {
    for (; (limit < 0 || n < limit); ++n) {
      result.append(with);
      if (begin >= bytes.size()) return result;
      const size_t end = character_at(bytes, begin).end;
      result.append(text, begin, end);
      begin = end;
    }
  } else {
    for (size_t found; (limit < 0 || n < limit) && (found = find_part(bytes, old, begin)) != bytes.npos; ++n) {
      result.append(text, begin, found);
      result.append(with);
      begin = found + old.size();
    }
  }
  result.append(text, begin, bytes.size());
  return result;
}

int64_t count_of(std::string_view text, std::string_view part) {
  if (part.empty()) return int64_t(count_characters(text)) + 1;
  int64_t n = 0;
  for (size_t pos = 0; (pos = find_part(text, part, pos)) != text.npos; pos += part.size()) ++n;
  return n;
}

Text escaped(const Text& text) {
  Text result;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string escape = html_escape(text.bytes()[i]);
    if (escape.empty())
      result.append(text, i, i + 1);
    else
      result.append_made_from(escape, text, i, i + 1);
  }
  return result;
}

Text joined(const std::vector<Text>& parts, const Text& between) {
  Text result;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) result.append(between);
    result.append(parts[i]);
  }
  return result;
}

}  // namespace reform::jinja
