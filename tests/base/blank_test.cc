#include "base/blank.h"

#include <catch2/catch.hpp>

using namespace reform;

TEST_CASE("blank: white space, controls and what need not be shown, up to the edges of each range", "[base]") {
  for (const char32_t c :
       U"\0\t\n \x7f\x85\xa0\xad\u034f\u061c\u1160\u1680\u180e\u2000\u200f\u2028\u202f\u205f\u206f"
       U"\u3000\u3164\ufe00\ufe0f\ufeff\uffa0\U000e0000\U000e0fff")
    CHECK(is_blank(c));
  for (const char32_t c : {U'!', U'~', U'\xa1', U'\xae', U'\u115e', U'\u2010', U'\u2027', U'\u2030', U'\u205e',
                           U'\u2070', U'\u3001', U'\ufe10', U'\ufffd', U'\U000dffff', U'\U000e1000', U'\U0010ffff'})
    CHECK_FALSE(is_blank(c));
}
