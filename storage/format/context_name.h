// Which names a context may have.
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

// 1-128 bytes of valid UTF-8 without control characters; kUsage says what is wrong.
Status check_context_name(const std::string& name);

}  // namespace reform
