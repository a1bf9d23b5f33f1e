// Where the library's remarks go. It never writes to stdout or stderr itself.
#pragma once

#include <functional>
#include <string>

namespace reform {

enum class LogLevel : int { kInfo = 0, kWarning = 1 };

// Called from the thread that made the call into the library. One line, no newline.
using LogCallback = std::function<void(LogLevel, const std::string& line)>;

}  // namespace reform
