// LogCallback receives the library's remarks. The library itself never writes to stdout or stderr.
#pragma once

#include <functional>
#include <string>

namespace reform {

enum class LogLevel : int { kInfo = 0, kWarning = 1 };

// Called on the thread that called the library. `line` has no newline.
using LogCallback = std::function<void(LogLevel, const std::string& line)>;

}  // namespace reform
