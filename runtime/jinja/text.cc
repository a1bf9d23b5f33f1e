#include "runtime/jinja/text.h"

#include <utf8proc.h>

#include <algorithm>

namespace reform::jinja {
namespace {

utf8proc_category_t category(int32_t code_point) {
  return code_point < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(code_point);
}

// The characters whose other case is several characters, of those that texts in Latin script hold (Unicode's
// SpecialCasing); title case has only the first letter large.
struct SpecialCase {
  int32_t code_point;
  const char *upper, *title;
};
constexpr SpecialCase kSpecialCases[] = {
    {0xdf, "SS", "Ss"},   {0x149, "\u02bcN", "\u02bcN"}, {0x1f0, "J\u030c", "J\u030c"}, {0xfb00, "FF", "Ff"},
    {0xfb01, "FI", "Fi"}, {0xfb02, "FL", "Fl"},          {0xfb03, "FFI", "Ffi"},        {0xfb04, "FFL", "Ffl"},
    {0xfb05, "ST", "St"}, {0xfb06, "ST", "St"}};

}  // namespace

Text::Text(std::string bytes, int32_t source) : bytes_(std::move(bytes)) {
  if (!bytes_.empty()) origins_.push_back({0, bytes_.size(), source, 0});
}

void Text::add_origin(Origin origin) {
  if (origin.begin == origin.end) return;
  if (!origins_.empty()) {
    Origin& last = origins_.back();
    const bool goes_on = origin.is_changed || last.at + int64_t(last.end - last.begin) == origin.at;
    if (last.end == origin.begin && last.source == origin.source && last.is_changed == origin.is_changed && goes_on) {
      last.end = origin.end;
      return;
    }
  }
  origins_.push_back(origin);
}

// The first origin that ends behind `begin`: there may be as many as bytes.
std::vector<Origin>::const_iterator Text::first_behind(size_t begin) const {
  return std::upper_bound(origins_.begin(), origins_.end(), begin,
                          [](size_t pos, const Origin& origin) { return pos < origin.end; });
}

void Text::append(const Text& text, size_t begin, size_t end) {
  if (&text == this) return append(Text(text), begin, end);
  const size_t base = bytes_.size();
  bytes_.append(text.bytes_, begin, end - begin);
  for (auto it = text.first_behind(begin); it != text.origins_.end() && it->begin < end; ++it) {
    const size_t from = std::max(begin, it->begin), to = std::min(end, it->end);
    const int64_t at = it->at + (it->is_changed ? 0 : int64_t(from - it->begin));
    add_origin({base + from - begin, base + to - begin, it->source, at, it->is_changed});
  }
}

Text Text::part(size_t begin, size_t end) const {
  Text result;
  result.append(*this, begin, end);
  return result;
}

void Text::append_made_from(std::string_view bytes, const Text& text, size_t begin, size_t end) {
  if (std::string_view(text.bytes_).substr(begin, end - begin) == bytes) return append(text, begin, end);
  const size_t base = bytes_.size();
  bytes_ += bytes;
  const auto it = text.first_behind(begin);
  if (it == text.origins_.end() || it->begin >= end) return;
  const int64_t at = it->at + (it->is_changed || begin < it->begin ? 0 : int64_t(begin - it->begin));
  add_origin({base, bytes_.size(), it->source, at, true});
}

Character character_at(std::string_view text, size_t pos) {
  int32_t code_point = -1;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + pos;
  const utf8proc_ssize_t n =
      utf8proc_iterate(bytes, utf8proc_ssize_t(std::min<size_t>(4, text.size() - pos)), &code_point);
  return n > 0 ? Character{pos, pos + size_t(n), code_point} : Character{pos, pos + 1, -1};
}

Character character_before(std::string_view text, size_t end) {
  for (size_t n = 1; n <= std::min<size_t>(4, end); ++n) {
    const Character c = character_at(text, end - n);
    if (c.end == end && c.code_point >= 0) return c;
  }
  return {end - 1, end, -1};
}

size_t count_characters(std::string_view text) {
  size_t n = 0;
  for (size_t pos = 0; pos < text.size(); ++n) pos = character_at(text, pos).end;
  return n;
}

std::vector<size_t> character_begins(std::string_view text) {
  std::vector<size_t> begins;
  for (size_t pos = 0; pos < text.size(); pos = character_at(text, pos).end) begins.push_back(pos);
  begins.push_back(text.size());
  return begins;
}

bool is_space(int32_t code_point) {
  if (code_point < 0x80)
    return code_point == ' ' || (code_point >= 9 && code_point <= 13) || (code_point >= 0x1c && code_point <= 0x1f);
  const utf8proc_category_t c = category(code_point);
  return c == UTF8PROC_CATEGORY_ZS || c == UTF8PROC_CATEGORY_ZL || c == UTF8PROC_CATEGORY_ZP || code_point == 0x85;
}
bool is_alpha(int32_t code_point) {
  const utf8proc_category_t c = category(code_point);
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}
bool is_decimal(int32_t code_point) { return category(code_point) == UTF8PROC_CATEGORY_ND; }
bool is_digit(int32_t code_point) {
  const bool raised = code_point == 0xb2 || code_point == 0xb3 || code_point == 0xb9 || code_point == 0x2070 ||
                      (code_point >= 0x2074 && code_point <= 0x2079) || (code_point >= 0x2080 && code_point <= 0x2089);
  return raised || is_decimal(code_point);
}
bool is_numeric(int32_t code_point) {
  const utf8proc_category_t c = category(code_point);
  return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}
bool is_upper(int32_t code_point) { return category(code_point) == UTF8PROC_CATEGORY_LU; }
bool is_lower(int32_t code_point) {
  return category(code_point) == UTF8PROC_CATEGORY_LL || code_point == 0xaa || code_point == 0xba;
}
bool is_title(int32_t code_point) { return category(code_point) == UTF8PROC_CATEGORY_LT; }
bool is_printable(int32_t code_point) {
  if (code_point == ' ') return true;
  switch (category(code_point)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

std::string encode_character(int32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t n = utf8proc_encode_char(code_point, bytes);
  return {reinterpret_cast<const char*>(bytes), size_t(std::max<utf8proc_ssize_t>(n, 0))};
}

std::string in_case(int32_t code_point, Case wanted) {
  if (wanted == Case::kLower && code_point == 0x130) return "i\u0307";
  if (wanted == Case::kFolded) {
    utf8proc_int32_t folded[4];
    const utf8proc_ssize_t n = utf8proc_decompose_char(code_point, folded, 4, UTF8PROC_CASEFOLD, nullptr);
    std::string text;
    for (utf8proc_ssize_t i = 0; i < std::min<utf8proc_ssize_t>(n, 4); ++i) text += encode_character(folded[i]);
    return text;
  }
  if (wanted != Case::kLower)
    for (const SpecialCase& special : kSpecialCases)
      if (special.code_point == code_point) return wanted == Case::kUpper ? special.upper : special.title;
  return encode_character(wanted == Case::kUpper   ? utf8proc_toupper(code_point)
                          : wanted == Case::kLower ? utf8proc_tolower(code_point)
                                                   : utf8proc_totitle(code_point));
}

}  // namespace reform::jinja
