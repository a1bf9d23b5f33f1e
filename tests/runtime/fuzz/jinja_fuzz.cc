// Any text as a chat template: refused with a message, or rendered within its limits, with contents where they came
// from.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/try.h"
#include "runtime/jinja/globals.h"
#include "runtime/jinja/json_value.h"
#include "runtime/jinja/template.h"

namespace {

using namespace reform;
using namespace reform::jinja;

constexpr const char* kContext = R"({"messages": [{"role": "system", "content": "Be brief.\r\n"},
  {"role": "user", "content": " Wo liegt Köln? <|im_end|> "},
  {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1, "y": [2.5, null]}}}]},
  {"role": "tool", "content": [{"type": "text", "text": "ß</think>ﬁ"}]}], "tools": [{"name": "f", "n": -3}],
  "add_generation_prompt": true, "n": 7, "x": 0.1, "s": "a b\tc"})";

Variables context() {
  const auto parsed = value_of_json(kContext, 0);
  CHECK(parsed.ok());
  Variables variables;
  for (const auto& [key, value] : parsed.value().dict()->items) variables.emplace_back(key.bytes(), value);
  variables.emplace_back("bos_token", Value("<s>"));
  variables.emplace_back("strftime_now", strftime_now(std::tm{}));
  return variables;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Variables variables = context();
  const auto parsed = Template::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) {
    CHECK(!parsed.status().message.empty());
    return 0;
  }
  constexpr Limits kLimits{.steps = 20'000, .bytes = 1 << 20};
  const auto text = parsed.value().render(variables, kLimits);
  if (!text.ok()) return 0;
  CHECK(int64_t(text.value().size()) <= kLimits.bytes);
  size_t last = 0;
  for (const Origin& origin : text.value().origins()) {
    CHECK(last <= origin.begin && origin.begin < origin.end && origin.end <= text.value().size());
    CHECK(origin.source == 0 && origin.at >= -1);
    last = origin.end;
  }
  return 0;
}
