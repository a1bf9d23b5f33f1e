#include "runtime/text/same_encoding.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>

#include "runtime/text/iconv_handle.h"
#include "runtime/text/text_decoder.h"

namespace reform {
namespace {

// Each of the first 65,536 code points is tried. Of the others some: their encodings come in long, regular runs.
constexpr uint32_t kDenseEnd = 0x10000, kPointsEnd = 0x110000, kSparseStep = 0x11;

// Appends what iconv makes of `in`, and how it ends.
void add_converted(const Iconv& conversion, std::string_view in, std::string& made) {
  std::array<char, 64> out;
  char *from = const_cast<char*>(in.data()), *to = out.data();
  size_t left = in.size(), room = out.size();
  const bool refused = iconv(conversion.handle, &from, &left, &to, &room) == size_t(-1);
  made += {char(refused ? errno : 0), char(left), char(room)};
  made.append(out.data(), out.size() - room);
}

// The mark decides for all that follows, so each text has a conversion of its own.
std::string of_marks(const std::string& encoding) {
  using namespace std::string_view_literals;
  std::string made;
  for (const std::string_view text : {"\xff\xfe\x61\0\x62\0"sv, "\xfe\xff\0\x61\0\x62"sv, "\xff\xfe\0\0\x61\0\0\0"sv,
                                      "\0\0\xfe\xff\0\0\0\x61"sv, "\xef\xbb\xbf\x61\x62\x63"sv, "abcd"sv})
    add_converted(Iconv(kCodePoints, encoding), text, made);
  return made;
}

// Single bytes, and pairs of them, each at a text's beginning.
std::string of_bytes(const std::string& encoding) {
  const Iconv decode(kCodePoints, encoding);
  std::string made;
  for (int pair = 0; pair < 1 << 16; ++pair) {
    const char bytes[] = {char(pair >> 8), char(pair)};
    for (const size_t n : {size_t(1), size_t(2)}) {
      if (n == 1 && bytes[1] != 0) continue;
      (void)iconv(decode.handle, nullptr, nullptr, nullptr, nullptr);
      add_converted(decode, {bytes, n}, made);
    }
  }
  return made;
}

// As one text, so that an encoding with states shows the sequences that change them.
std::string of_points(const std::string& encoding) {
  const Iconv encode(encoding, kCodePoints);
  std::string made;
  for (uint32_t point = 0; point < kPointsEnd; point += point < kDenseEnd ? 1 : kSparseStep) {
    const char bytes[] = {char(point), char(point >> 8), char(point >> 16), 0};
    add_converted(encode, {bytes, sizeof bytes}, made);
  }
  return made;
}

bool is_known(const std::string& encoding) {
  return Iconv(kCodePoints, encoding).valid() && Iconv(encoding, kCodePoints).valid();
}

}  // namespace

bool same_encoding(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const std::string one = shown_encoding(a), other = shown_encoding(b);
  return is_known(one) && is_known(other) && of_marks(one) == of_marks(other) && of_bytes(one) == of_bytes(other) &&
         of_points(one) == of_points(other);
}

}  // namespace reform
