#include "runtime/recompute/empty_text.h"

#include <catch2/catch.hpp>
#include <string>

using namespace reform;

TEST_CASE("empty text: each way to end one has its reason, and each reason its sentence", "[runtime][empty]") {
  struct Case {
    const char *text, *finish_reason;
    int64_t n_tokens;
    std::string because;
    int64_t reasoning_tokens = 0;
  };
  const Case cases[] = {{"", "stop", 1, "end"},
                        {" \r\n\t", "stop", 4, "blank"},
                        {"", "stop", 2, "blank"},
                        {"\u200b\u00a0\x1b", "stop", 3, "blank"},
                        {"", "length", 0, "length"},
                        {"\n", "length", 7, "length"},
                        {"", "cancelled", 3, "cancelled"},
                        {"", "stop", 9, "end", 8},
                        {"", "stop", 9, "blank", 7},
                        {"", "unanswered", 0, "unanswered"}};
  for (const Case& c : cases) {
    CAPTURE(c.text, c.finish_reason, c.n_tokens);
    GenerateResult generated;
    generated.text = c.text, generated.finish_reason = c.finish_reason, generated.timings.predicted_n = c.n_tokens;
    generated.reasoning_tokens = c.reasoning_tokens;
    CHECK(why_empty(generated) == c.because);
    CHECK(std::string(explain_empty(c.because)).size() > 20);
    generated.text += "a ";
    CHECK(why_empty(generated).empty());
  }
  GenerateResult cut;
  cut.finish_reason = "stop", cut.is_cut = true;
  CHECK(why_empty(cut) == "stop");
  CHECK(std::string(explain_empty("stop")).find("--stop") != std::string::npos);
  CHECK(std::string(explain_empty("")).empty());
  CHECK(std::string(explain_empty("en")).empty());
}
