// What a path is to the system.
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

// An absolute path without "." and "//". A ".." is what it is after symbolic links, so what comes before it must exist
// (kNotFound); other links stay as they are.
Result<std::string> absolute_path(const std::string& path);

}  // namespace reform
