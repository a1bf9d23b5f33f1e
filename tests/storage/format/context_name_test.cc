#include "storage/format/context_name.h"

#include <catch2/catch.hpp>

using namespace reform;
using namespace std::string_literals;

TEST_CASE("a context's name shows as it is, and is no path", "[storage]") {
  for (const std::string& name :
       {"a"s, "a b"s, "..."s, "-n"s, "名前 😀"s, "❤\ufe0f"s, "می\u200cخواهم"s, std::string(128, 'n')}) {
    CAPTURE(name);
    CHECK(check_context_name(name).ok());
  }
  for (const std::string& name : {""s,         std::string(129, 'n'),
                                  " "s,        "\u00a0\u200b"s,
                                  " a"s,       "a "s,
                                  "\u3000a"s,  "\ufeffa"s,
                                  "a\u200b"s,  "."s,
                                  ".."s,       "a/b"s,
                                  "/"s,        "a\nb"s,
                                  "a\0b"s,     "a\x7f"s,
                                  "a\u0085b"s, "a\u2028b"s,
                                  "a\u202eb"s, "\xff\xfe"s}) {
    CAPTURE(name);
    const Status refused = check_context_name(name);
    CHECK(refused.code == Code::kUsage);
    CHECK(refused.message.starts_with("a context's name "));
    CHECK(refused.message.find('\n') == std::string::npos);
  }
}
