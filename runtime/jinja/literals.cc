#include "runtime/jinja/literals.h"

#include <charconv>

#include "base/try.h"
#include "runtime/jinja/text.h"
#include "runtime/jinja/value.h"

namespace reform::jinja {
namespace {

bool is_digit_of(char c, int base) {
  const int value = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
  return value < base;
}

// Digits, with single underscores between them; pos if there is none.
size_t digits_end(std::string_view text, size_t pos, int base = 10) {
  size_t end = pos;
  while (end < text.size() &&
         (is_digit_of(text[end], base) ||
          (text[end] == '_' && end > pos && end + 1 < text.size() && is_digit_of(text[end + 1], base))))
    ++end;
  return end;
}

int base_of(std::string_view text, size_t pos) {
  if (pos + 1 >= text.size() || text[pos] != '0') return 10;
  const char c = char(text[pos + 1] | 32);
  return c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
}

// \xHH, \uHHHH, \UHHHHHHHH at body[pos], the letter: appends the character and returns the position behind it.
Result<size_t> unescape_hex(std::string_view body, size_t pos, std::string& text) {
  const size_t n = body[pos] == 'x' ? 2 : body[pos] == 'u' ? 4 : 8;
  uint32_t code_point = 0;
  const char* const begin = body.data() + pos + 1;
  const bool fits = pos + 1 + n <= body.size();
  if (!fits || std::from_chars(begin, begin + n, code_point, 16).ptr != begin + n || code_point > 0x10ffff ||
      (code_point >= 0xd800 && code_point < 0xe000))
    return template_error("a string has a broken escape '\\" + std::string(body.substr(pos, n + 1)) + "'");
  text += encode_character(int32_t(code_point));
  return pos + 1 + n;
}

}  // namespace

NumberEnd number_end(std::string_view text, size_t pos, bool after_dot) {
  if (const int base = base_of(text, pos); base != 10) {
    const size_t begin = pos + 2 + (pos + 2 < text.size() && text[pos + 2] == '_' ? 1 : 0);
    const size_t end = digits_end(text, begin, base);
    if (end > begin) return {end, false};
  }
  size_t end = digits_end(text, pos);
  if (end == pos) return {pos, false};
  bool is_float = false;
  if (!after_dot && end + 1 < text.size() && text[end] == '.' && is_digit_of(text[end + 1], 10))
    end = digits_end(text, end + 1), is_float = true;
  if (!after_dot && end < text.size() && (text[end] | 32) == 'e') {
    size_t exponent = end + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    if (const size_t exponent_end = digits_end(text, exponent); exponent_end > exponent)
      end = exponent_end, is_float = true;
  }
  // 0 begins no other number: 0123 is 0 and then 123.
  if (!is_float && text[pos] == '0')
    for (size_t i = pos; i < end; ++i)
      if (text[i] != '0' && text[i] != '_') return {text[i - 1] == '_' ? i - 1 : i, false};
  return {end, is_float};
}

Result<int64_t> integer_value(std::string_view digits) {
  const int base = base_of(digits, 0);
  if (base != 10) digits.remove_prefix(2);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size())
    return template_error("the number " + std::string(digits) + " does not fit into 64 bits");
  return value;
}

Result<std::string> unescape(std::string_view body) {
  constexpr std::string_view kLetters = "abfnrtv\\'\"", kValues = "\a\b\f\n\r\t\v\\'\"";
  std::string text;
  for (size_t i = 0; i < body.size();) {
    if (body[i] != '\\' || i + 1 == body.size()) {
      text += body[i++];
      continue;
    }
    const char c = body[++i];
    if (const size_t letter = kLetters.find(c); letter != kLetters.npos) {
      text += kValues[letter], ++i;
    } else if (c == '\n') {
      ++i;  // the line goes on
    } else if (c == 'x' || c == 'u' || c == 'U') {
      TRY_ASSIGN(i, unescape_hex(body, i, text));
    } else if (c >= '0' && c <= '7') {
      int32_t code_point = 0;
      for (const size_t end = i + 3; i < end && i < body.size() && body[i] >= '0' && body[i] <= '7'; ++i)
        code_point = code_point * 8 + (body[i] - '0');
      text += encode_character(code_point);
    } else if (c == 'N') {
      return template_error("a string names a character by \\N{…}, which reform does not know");
    } else {
      text += '\\';  // and the character itself comes next
    }
  }
  return text;
}

}  // namespace reform::jinja
