#include "runtime/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "base/try.h"
#include "runtime/jinja/literals.h"
#include "runtime/jinja/text.h"
#include "runtime/jinja/value.h"

namespace reform::jinja {
namespace {

// Longest first, as the first that fits is taken.
constexpr std::array<std::string_view, 26> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

std::string with_plain_newlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

size_t skip_space(std::string_view text, size_t pos) {
  while (pos < text.size()) {
    const Character c = character_at(text, pos);
    if (!is_space(c.code_point)) break;
    pos = c.end;
  }
  return pos;
}

size_t without_space_before(std::string_view text, size_t begin, size_t end) {
  while (end > begin) {
    const Character c = character_before(text, end);
    if (c.begin < begin || !is_space(c.code_point)) break;
    end = c.begin;
  }
  return end;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_newlines(source)) {}

  Result<std::vector<Token>> run() {
    while (pos_ < source_.size()) TRY(next_part());
    add(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  using Kind = Token::Kind;

  char at(size_t pos) const { return pos < source_.size() ? source_[pos] : '\0'; }
  bool starts(size_t pos, std::string_view what) const {
    return std::string_view(source_).substr(std::min(pos, source_.size())).starts_with(what);
  }
  Status fail(const std::string& what) { return template_error("line " + std::to_string(line()) + ": " + what); }
  // Positions only grow, so lines are counted once.
  int line() {
    line_ += int(std::count(source_.begin() + long(counted_), source_.begin() + long(pos_), '\n'));
    counted_ = pos_;
    return line_;
  }
  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line()}); }

  // The text up to the next tag, and the tag.
  Status next_part() {
    size_t tag = pos_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || at(tag + 1) == '{' || at(tag + 1) == '%' || at(tag + 1) == '#') break;
      ++tag;
    }
    if (tag == std::string::npos) {
      add_text(pos_, source_.size());
      pos_ = source_.size();
      return {};
    }
    const char kind = at(tag + 1), sign = at(tag + 2);
    add_text(pos_, text_end_before(tag, kind, sign));
    pos_ = tag;
    line();
    if (kind == '#') return comment();
    pos_ = tag + 2 + (sign == '-' || sign == '+' ? 1 : 0);
    if (kind == '{') {
      add(Kind::kPrintBegin, "");
      return inside(Kind::kPrintEnd, "}}");
    }
    if (const size_t end = raw_begin_end(); end) return raw(end);
    add(Kind::kBlockBegin, "");
    return inside(Kind::kBlockEnd, "%}");
  }

  void add_text(size_t begin, size_t end) {
    if (end > begin) add(Kind::kText, source_.substr(begin, end - begin));
  }

  size_t text_end_before(size_t tag, char kind, char sign) const {
    if (sign == '-') return without_space_before(source_, pos_, tag);
    if (sign == '+' || kind == '{') return tag;
    const size_t newline = std::string_view(source_).substr(pos_, tag - pos_).rfind('\n');
    const size_t line_begin = newline == std::string_view::npos ? pos_ : pos_ + newline + 1;
    if (line_begin == pos_ && !line_starting_) return tag;
    return skip_space(std::string_view(source_).substr(0, tag), line_begin) == tag ? line_begin : tag;
  }

  // After a delimiter's end at pos_: the white space or the newline that goes with it.
  void end_of_tag(bool minus, bool plus, bool trims_newline) {
    if (minus)
      pos_ = skip_space(source_, pos_);
    else if (!plus && trims_newline && at(pos_) == '\n')
      ++pos_;
    line_starting_ = pos_ > 0 && source_[pos_ - 1] == '\n';
  }

  Status comment() {
    const size_t begin = pos_ + 2 + (at(pos_ + 2) == '-' || at(pos_ + 2) == '+' ? 1 : 0);
    const size_t end = source_.find("#}", begin);
    if (end == std::string::npos) return fail("the comment has no end (#})");
    const bool has_sign = end > begin;
    const bool minus = has_sign && source_[end - 1] == '-', plus = has_sign && source_[end - 1] == '+';
    pos_ = end + 2;
    end_of_tag(minus, plus, true);
    return {};
  }

  // If `{% raw %}` begins at pos_ (behind its delimiter), the position behind its `%}`; else 0.
  size_t raw_begin_end() {
    size_t pos = skip_space(source_, pos_);
    if (!starts(pos, "raw")) return 0;
    pos = skip_space(source_, pos + 3);
    if (starts(pos, "-%}")) return skip_space(source_, pos + 3);
    return starts(pos, "%}") ? pos + 2 : 0;
  }

  Status raw(size_t begin) {
    pos_ = begin;
    line_starting_ = source_[pos_ - 1] == '\n';
    for (size_t tag = pos_; (tag = source_.find("{%", tag)) != std::string::npos; ++tag) {
      const char sign = at(tag + 2);
      size_t pos = skip_space(source_, tag + 2 + (sign == '-' || sign == '+' ? 1 : 0));
      if (!starts(pos, "endraw")) continue;
      pos = skip_space(source_, pos + 6);
      const bool minus = at(pos) == '-', plus = at(pos) == '+';
      if (minus || plus) ++pos;
      if (!starts(pos, "%}")) continue;
      add_text(pos_, text_end_before(tag, '%', sign));
      pos_ = pos + 2;
      end_of_tag(minus, plus, true);
      return {};
    }
    return fail("{% raw %} has no {% endraw %}");
  }

  // Tokens up to `close`, which within brackets is not the end.
  Status inside(Kind end_kind, std::string_view close) {
    std::vector<char> open;
    while (true) {
      pos_ = skip_space(source_, pos_);
      if (pos_ >= source_.size()) return fail("a tag has no end (" + std::string(close) + ")");
      const bool minus = starts(pos_, "-" + std::string(close));
      const bool plus = end_kind == Kind::kBlockEnd && starts(pos_, "+" + std::string(close));
      if (open.empty() && (minus || plus || starts(pos_, close))) {
        add(end_kind, "");
        pos_ += close.size() + (minus || plus ? 1 : 0);
        end_of_tag(minus, plus, end_kind == Kind::kBlockEnd);
        return {};
      }
      TRY(token(open));
    }
  }

  Status token(std::vector<char>& open) {
    const char c = source_[pos_];
    if (c == '"' || c == '\'') return string(c);
    if (c >= '0' && c <= '9') return number();
    if (const size_t end = name_end(); end > pos_) {
      add(Kind::kName, source_.substr(pos_, end - pos_));
      pos_ = end;
      return {};
    }
    for (const std::string_view sign : kOperators) {
      if (!starts(pos_, sign)) continue;
      TRY(balance(sign, open));
      add(Kind::kOperator, std::string(sign));
      pos_ += sign.size();
      return {};
    }
    return fail("unexpected character '" + source_.substr(pos_, character_at(source_, pos_).end - pos_) + "'");
  }

  Status balance(std::string_view sign, std::vector<char>& open) {
    const char c = sign[0];
    if (c == '(' || c == '[' || c == '{') {
      open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) return fail("unexpected '" + std::string(sign) + "'");
      open.pop_back();
    }
    return {};
  }

  size_t name_end() const {
    size_t pos = pos_;
    while (pos < source_.size()) {
      const Character c = character_at(source_, pos);
      if (c.code_point != '_' && !is_alpha(c.code_point) && !is_numeric(c.code_point)) break;
      pos = c.end;
    }
    return pos;
  }

  Status number() {
    const NumberEnd end = number_end(source_, pos_, pos_ > 0 && source_[pos_ - 1] == '.');
    if (end.pos == pos_) return fail("not a number: '" + source_.substr(pos_, name_end() - pos_) + "'");
    std::string digits = source_.substr(pos_, end.pos - pos_);
    std::erase(digits, '_');
    add(end.is_float ? Kind::kFloat : Kind::kInteger, std::move(digits));
    pos_ = end.pos;
    return {};
  }

  Status string(char quote) {
    size_t end = pos_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return fail("a string has no end");
    auto text = unescape(std::string_view(source_).substr(pos_ + 1, end - pos_ - 1));
    if (!text.ok()) return fail(text.status().message);
    add(Kind::kString, std::move(text).value());
    pos_ = end + 1;
    return {};
  }

  const std::string source_;
  size_t pos_ = 0, counted_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // what was read so far ends a line
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace reform::jinja
