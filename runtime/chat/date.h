// The date that templates write.
#pragma once

#include <reform/status.h>

#include <ctime>
#include <string>

namespace reform {

// "2026-03-07" or "2026-03-07T09:05", with seconds or not; "": the time by this machine's clock and zone. kUsage: no
// date.
Result<std::tm> chat_date(const std::string& date);

}  // namespace reform
