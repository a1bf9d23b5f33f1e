#include "runtime/text/same_encoding.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "runtime/text/text_decoder.h"

using namespace reform;

namespace {

bool same(const std::string& a, const std::string& b) {
  return same_encoding(canonical_encoding(a), canonical_encoding(b));
}

}  // namespace

TEST_CASE("encoding: the names of one encoding are the same", "[text]") {
  const std::vector<std::string> groups[] = {{"utf-16", "UTF16"},         {"LATIN1", "ISO-8859-1", "CP819"},
                                             {"WINDOWS-1252", "MS-ANSI"}, {"SHIFT_JIS", "SJIS"},
                                             {"EUC-JP", "UJIS"},          {"EUC-KR", "EUCKR"},
                                             {"UTF-8", "ISO-IR-193"},     {"UTF-8", "utf8", ""}};
  for (const std::vector<std::string>& names : groups) {
    for (size_t i = 1; i < names.size(); ++i) {
      CAPTURE(names[0], names[i]);
      CHECK(same(names[0], names[i]));
    }
  }
}

TEST_CASE("encoding: another encoding is another, however alike", "[text]") {
  const char* const pairs[][2] = {{"ISO-8859-1", "WINDOWS-1252"},
                                  {"ISO-8859-1", "ISO-8859-15"},
                                  {"UTF-16", "UTF-16LE"},
                                  {"UTF-16LE", "UTF-16BE"},
                                  {"UTF-16LE", "UCS-2LE"},
                                  {"SHIFT_JIS", "CP932"},
                                  {"EUC-JP", "EUC-JP-MS"},
                                  {"EUC-JP", "EUC-KR"},
                                  {"EUC-CN", "GBK"},
                                  {"GBK", "GB18030"},
                                  {"BIG5", "BIG5-HKSCS"},
                                  {"UTF-8", "ASCII"},
                                  {"ISO-2022-JP", "ISO-2022-JP-2"}};
  for (const auto& [a, b] : pairs) {
    CAPTURE(a, b);
    CHECK_FALSE(same(a, b));
  }
  CHECK_FALSE(same("no-such", "none-such"));
}
