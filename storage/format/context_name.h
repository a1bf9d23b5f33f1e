// Which names a context may have. Those of contexts that exist are not checked: they open and go by any name.
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

// 1-128 bytes of valid UTF-8 that a list shows as they are: no control characters, nothing blank (base/blank.h) at
// either end. Nor a path: no slash, and not "." or "..". kUsage says what is wrong.
Status check_context_name(const std::string& name);

}  // namespace reform
