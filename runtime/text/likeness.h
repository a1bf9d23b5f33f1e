// What bytes that are not UTF-8 look like, and so what to do with them. Guesses, for messages only.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace reform {

inline constexpr size_t kLikenessBytes = 4096;  // enough of a file's beginning

struct Likeness {
  std::string what;    // "a PDF file"; "": nothing that we know
  std::string advice;  // "extract its text first, as with pdftotext"
};
// start: a file's first bytes. near: those round the first bad one, which may be far behind.
Likeness likeness(std::string_view start, std::string_view near);

// Where a block that may be valid UTF-8 shows that it is no text: 0 for the mark of a binary format at the file's
// start, or the first of many NULs. -1: nowhere.
int64_t not_a_text(std::string_view block, bool at_start);

// kBadText: `block` of `name` is not UTF-8 at block[pos], which is byte `byte` of the file.
Status not_utf8(const std::string& name, std::string_view start, std::string_view block, size_t pos, int64_t byte);

}  // namespace reform
