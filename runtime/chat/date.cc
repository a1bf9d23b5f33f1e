#include "runtime/chat/date.h"

#include <fmt/format.h>
#include <reform/chat.h>
#include <reform/ranges.h>

#include <array>
#include <ctime>

#include "base/try.h"
#include "runtime/jinja/json_value.h"

namespace reform {

Result<std::tm> chat_date(const std::string& date) {
  std::tm time{};
  if (date.empty()) {
    const std::time_t now = std::time(nullptr);
    localtime_r(&now, &time);
    return time;
  }
  for (const char* format : {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"}) {
    time = {};
    std::array<char, 32> written{};
    if (strptime(date.c_str(), format, &time) == nullptr) continue;
    std::strftime(written.data(), written.size(), format, &time);
    if (date != written.data() || date.size() < 10) continue;  // strptime() takes blanks and few digits
    std::tm checked = time;                                    // strptime() takes 31 April
    checked.tm_isdst = -1;
    std::mktime(&checked);
    if (checked.tm_mday == time.tm_mday && checked.tm_mon == time.tm_mon) return time;
  }
  return Status{Code::kUsage, "'" + date + "' is not a date; expected one as 2026-03-07, or 2026-03-07T09:05"};
}

Status ChatOptions::validate() const {
  TRY(chat_date(date));
  if (constexpr auto kRange = ranges::kThinkTokens; think_tokens != kAuto && !kRange.holds(think_tokens)) {
    return {Code::kUsage, fmt::format("think tokens is {}; expected {} to {}, or -1 for auto", think_tokens,
                                      kRange.least, kRange.most)};
  }
  if (variables.empty()) return {};
  const auto parsed = jinja::value_of_json(variables, 0);
  if (!parsed.ok()) return {Code::kUsage, "the template's variables: " + parsed.status().message};
  if (!parsed.value().is_dict()) return {Code::kUsage, "the template's variables: expected a JSON object"};
  return {};
}

}  // namespace reform
