// Where in a token's text a byte of the files that it came from stands. A token may cross the border of two files, and
// a character has not as many bytes in every encoding as in UTF-8.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace reform {

struct Iconv;

// Bytes of the joined text.
struct RawRange {
  int64_t begin = 0, end = 0;
};

class CharacterBytes {
 public:
  // `encoding`: as canonical_encoding() gives it. `file_begins`: where the files begin, in order.
  CharacterBytes(const std::string& encoding, std::vector<int64_t> file_begins);
  ~CharacterBytes();

  // Of a token's text, which stands for the bytes `raw`: how much comes before the byte `at`, where a file begins.
  // Bytes without text are byte order marks, of the first files there, or escapes behind a file's last character.
  // Invalid bytes, which became U+FFFD, are taken to be alike.
  size_t text_before(std::string_view text, RawRange raw, int64_t at) const;

 private:
  struct Character {
    size_t text_end = 0;
    int64_t n_raw = 0;
  };
  int64_t raw_bytes(std::string_view character) const;  // < 0: not known
  std::vector<Character> characters_of(std::string_view text, int64_t n_raw) const;
  std::vector<int64_t> begins_in(RawRange raw) const;

  std::unique_ptr<Iconv> encode_;  // nullptr: UTF-8
  const std::vector<int64_t> file_begins_;
  const int64_t mark_bytes_;  // of a byte order mark, or of an escape
};

}  // namespace reform
