// What is text, and text in other encodings than UTF-8. A name of an encoding is one that the C library's iconv knows
// (`iconv -l`), in any case; "" and UTF-8 are UTF-8.
#pragma once

#include <reform/export.h>
#include <reform/status.h>

#include <string>
#include <string_view>

namespace reform {

REFORM_API bool is_utf8(const std::string& encoding);           // "" too
REFORM_API Status check_encoding(const std::string& encoding);  // kUsage: unknown
// A whole text as UTF-8, without a byte order mark. kBadText, with `name`, the line of a text in UTF-8 and the byte: it
// is not in that encoding. The message says what it looks like instead.
REFORM_API Result<std::string> to_utf8(std::string_view bytes, const std::string& encoding, const std::string& name);
// Nothing to read: white space, control characters and characters that do not show, such as U+200B, alone
// (docs/CLI.md). Bytes that are not UTF-8 are something.
REFORM_API bool is_blank(std::string_view utf8);
// Whether a file that begins with `head` is not blank so far.
REFORM_API bool has_text(std::string_view head, const std::string& encoding);

// Whether a file that begins with `head` is no text in this encoding, to leave it out of many: by the mark of a format
// or, in UTF-8, by NULs and other characters that are rare in texts.
REFORM_API bool looks_binary(std::string_view head, const std::string& encoding);

}  // namespace reform
