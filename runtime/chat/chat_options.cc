// Where ChatOptions are checked.
#include <fmt/format.h>
#include <reform/chat.h>
#include <reform/ranges.h>

#include "base/try.h"
#include "runtime/chat/date.h"
#include "runtime/jinja/json_value.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

Status check_history(const std::vector<Message>& history) {
  for (const Message& turn : history) {
    if (turn.role != "user" && turn.role != "assistant")
      return {Code::kUsage, fmt::format("a turn's role is '{}'; expected user or assistant", turn.role)};
    TRY(check_utf8("a turn before the question", turn.content));
  }
  return {};
}

}  // namespace

Status ChatOptions::validate() const {
  TRY(chat_date(date));
  if (constexpr auto kRange = ranges::kThinkTokens; think_tokens != kAuto && !kRange.holds(think_tokens)) {
    return {Code::kUsage, fmt::format("think tokens is {}; expected {} to {}, or -1 for auto", think_tokens,
                                      kRange.least, kRange.most)};
  }
  TRY(check_history(history));
  if (variables.empty()) return {};
  const auto parsed = jinja::value_of_json(variables, 0);
  if (!parsed.ok()) return {Code::kUsage, "the template's variables: " + parsed.status().message};
  if (!parsed.value().is_dict()) return {Code::kUsage, "the template's variables: expected a JSON object"};
  return {};
}

}  // namespace reform
