#include "tools/glob.h"

#include <catch2/catch.hpp>

using namespace reform::tool;

TEST_CASE("globs: patterns fit names or paths, by characters, and directories alone", "[tools]") {
  struct Case {
    const char *glob, *path;
    bool is_folder, fits;
  };
  const Case cases[] = {{"*.md", "a/b.md", false, true},      {"b/*.md", "a/b/c.md", false, false},
                        {"/a.txt", "a.txt", false, true},     {"old/", "b/old", true, true},
                        {"old/", "b/old", false, false},      {"?.txt", "é.txt", false, true},
                        {"??.txt", "é.txt", false, false},    {"[é]*", "è.txt", false, false},
                        {"[é]*", "é.txt", false, true},       {"[!é]*", "è.txt", false, true},
                        {"[日é].txt", "日.txt", false, true}, {"[[:alpha:]].txt", "日.txt", false, true},
                        {"[à-ÿ].txt", "é.txt", false, true},  {"[à-è].txt", "é.txt", false, false},
                        {"[\\]]*", "]é.txt", false, true},    {"[[:alpha:]*]é", "*é", false, true},
                        {"[[:alpha:]*]é", "é", false, false}, {"?.txt", "\xe9.txt", false, true},
                        {"*.txt", "\xe9.txt", false, true}};
  for (const Case& c : cases) {
    CAPTURE(c.glob, c.path);
    CHECK(fits_any({"none", c.glob}, c.path, c.is_folder) == c.fits);
  }
  CHECK_FALSE(fits_any({}, "a", false));
}
