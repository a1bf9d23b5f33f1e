#include "runtime/chat/date.h"

#include <array>
#include <ctime>

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

}  // namespace reform
