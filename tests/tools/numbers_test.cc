// Numbers on the command line are decimal, whole words, and in their option's range; else exit code 2 with the range.
#include "tools/numbers.h"

#include <catch2/catch.hpp>
#include <limits>

#include "tests/support/take.h"
#include "tests/tools/command.h"

using namespace reform;
using namespace reform::test;
using tool::parse_number;

TEST_CASE("numbers: decimal, the whole word, in the range", "[tools]") {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const Range<int64_t> any{-1, kMost};
  CHECK(take(parse_number("0", any)) == 0);
  CHECK(take(parse_number("010", any)) == 10);
  CHECK(take(parse_number("-1", any)) == -1);
  CHECK(take(parse_number("9223372036854775807", any)) == kMost);
  for (const char* word : {"", " ", "+1", " 1", "1 ", "1x", "0x10", "1e3", "1.0", "1,000", "--1", "-", "-2", "-0",
                           "nan", "inf", "9223372036854775808", "99999999999999999999999", "one"}) {
    CAPTURE(word);
    const Status status = parse_number(word, any).status();
    CHECK(status.code == Code::kUsage);
    CHECK(status.message == "is '" + std::string(word) + "'; expected a whole number from -1 to 9223372036854775807");
  }
  const Range<double> share{0, 1};
  CHECK(take(parse_number("1", share)) == 1);
  CHECK(take(parse_number("0.25", share)) == 0.25);
  CHECK(take(parse_number(".5", share)) == 0.5);
  CHECK(take(parse_number("1e-1", share)) == 0.1);
  for (const char* word :
       {"", "1.1", "-0.1", "-0", "-0.0", "0x1", "nan", "-nan", "inf", "1e999", "0.5f", "0,5", "+0.5"}) {
    CAPTURE(word);
    CHECK(parse_number(word, share).status().message ==
          "is '" + std::string(word) + "'; expected a number from 0 to 1");
  }
}

TEST_CASE("numbers: every option that takes one refuses what is none, and says the range", "[tools]") {
  const Sandbox box;
  const struct {
    const char *verb, *option, *range;
  } cases[] = {{"generate", "--threads", "0 to 1024"},
               {"generate", "-n", "0 to 1048576"},
               {"generate", "--seed", "-1 to 9223372036854775807"},
               {"generate", "--temp", "0 to 100"},
               {"generate", "--top-k", "0 to 2147483648"},
               {"generate", "--top-p", "0 to 1"},
               {"generate", "--min-p", "0 to 1"},
               {"ask", "--gather-tokens", "0 to 1048576"},
               {"ask", "--edge-tokens", "0 to 65536"},
               {"ask", "--rounds", "1 to 2"},
               {"ask", "--pool-window", "1 to 4095"},
               {"ask", "--top", "0 to 9223372036854775807"},
               {"search", "--top", "0 to 9223372036854775807"},
               {"ingest", "--chunk-tokens", "64 to 65536"},
               {"ingest", "--cache-tokens", "64 to 1048576"},
               {"ingest", "--sink-tokens", "0 to 524288"},
               {"ingest", "--overlap-tokens", "0 to 65536"},
               {"ingest", "--checkpoint-seconds", "0 to 86400"},
               {"heads", "--questions", "0 to 1048576"},
               {"heads", "--minutes", "0 to 100000"}};
  for (const auto& c : cases) {
    for (const char* word : {"", "x", "-7", "0x10", "99999999999999999999"}) {
      CAPTURE(c.verb, c.option, word);
      const CommandResult r = box.run({c.verb, c.option, word, "--model", "m.gguf", "a", "b"});
      CHECK(r.exit_code == 2);
      INFO(r.err);
      CHECK(r.err.find("is '" + std::string(word) + "'") != std::string::npos);
      CHECK(r.err.find(c.range) != std::string::npos);
    }
  }
}

TEST_CASE("numbers: auto is taken where it is the default, and nowhere else", "[tools]") {
  const Sandbox box;
  const auto error = [&](const char* verb, const char* option) {
    return box.run({verb, option, "auto", "--model", "none.gguf", "a", "b"}).err;
  };
  for (const char* option : {"--gather-tokens", "--edge-tokens", "--rounds", "--chunk-tokens"})
    CHECK(error("ask", option).find("is 'auto'") == std::string::npos);
  for (const char* option : {"--chunk-tokens", "--cache-tokens"})
    CHECK(error("ingest", option).find("is 'auto'") == std::string::npos);
  CHECK(error("search", "--rounds").find("is 'auto'") == std::string::npos);
  for (const char* option : {"--pool-window", "--top", "--seed"})
    CHECK(error("ask", option).find("is 'auto'") != std::string::npos);
  CHECK(error("ingest", "--sink-tokens").find("is 'auto'") != std::string::npos);
}
