// A string that knows where its bytes came from, through whatever a template does to it.
//
// A template's own text may become special tokens; what a user, a document or a tool said never may. Whoever renders
// marks those strings, and the marks follow every slice, trim, replacement and concatenation. So no content has to be
// hidden behind a placeholder, and templates that look into contents come out as Jinja's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reform::jinja {

// Bytes [begin, end) of a text came from `source`: they are its bytes from `at` on, or, if they were changed (as by
// `upper`), they were made from what begins there.
struct Origin {
  size_t begin, end;
  int32_t source;
  int64_t at;
  bool is_changed = false;
};

class Text {
 public:
  Text() = default;
  explicit Text(std::string bytes) : bytes_(std::move(bytes)) {}  // of the template
  explicit Text(std::string_view bytes) : bytes_(bytes) {}
  explicit Text(const char* bytes) : bytes_(bytes) {}
  Text(std::string bytes, int32_t source);  // all of it from `source`

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  // In order, apart, none of them empty; what lies between is the template's.
  const std::vector<Origin>& origins() const { return origins_; }

  // It was declared safe for HTML (`safe`, `escape`): what is added to it is escaped.
  bool is_markup() const { return is_markup_; }
  void set_markup() { is_markup_ = true; }

  Text part(size_t begin, size_t end) const;
  void append(const Text& text) { append(text, 0, text.size()); }
  void append(const Text& text, size_t begin, size_t end);
  void append(std::string_view bytes) { bytes_ += bytes; }
  // Bytes that stand for text[begin, end): of the source that this came from, if it came from one.
  void append_made_from(std::string_view bytes, const Text& text, size_t begin, size_t end);

 private:
  void add_origin(Origin origin);
  std::vector<Origin>::const_iterator first_behind(size_t begin) const;

  std::string bytes_;
  std::vector<Origin> origins_;
  bool is_markup_ = false;
};

// Characters, as Python counts them. A byte that is part of no character of UTF-8 counts as one.
struct Character {
  size_t begin, end;   // in bytes
  int32_t code_point;  // -1: no character
};
Character character_at(std::string_view text, size_t pos);      // pos < text.size()
Character character_before(std::string_view text, size_t end);  // end > 0
size_t count_characters(std::string_view text);
// The byte where each character begins, and the end of the text.
std::vector<size_t> character_begins(std::string_view text);

// Properties and cases as Python has them, where they are of one character.
bool is_space(int32_t code_point);  // str.isspace
bool is_alpha(int32_t code_point);
bool is_decimal(int32_t code_point);
bool is_digit(int32_t code_point);
bool is_numeric(int32_t code_point);
bool is_upper(int32_t code_point);
bool is_lower(int32_t code_point);
bool is_title(int32_t code_point);
bool is_printable(int32_t code_point);
enum class Case { kUpper, kLower, kTitle, kFolded };   // folded: to compare without regard to case
std::string in_case(int32_t code_point, Case wanted);  // UTF-8
std::string encode_character(int32_t code_point);

}  // namespace reform::jinja
