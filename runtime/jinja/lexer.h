// A template's source as tokens, with white space dropped where the template says so.
//
// As Jinja2 with trim_blocks and lstrip_blocks, which is how transformers runs chat templates: the newline after a
// block or comment goes, and so does the white space before one that begins its line. `-` and `+` beside a delimiter
// say otherwise. A newline at the source's end is dropped, and every line end is read as "\n".
#pragma once

#include <reform/status.h>

#include <string>
#include <string_view>
#include <vector>

namespace reform::jinja {

struct Token {
  enum class Kind : uint8_t {
    kText,  // to be printed as it is
    kPrintBegin,
    kPrintEnd,  // {{ }}
    kBlockBegin,
    kBlockEnd,  // {% %}
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;  // of a string its value, escapes resolved; of an operator its sign
  int line;
};

Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace reform::jinja
