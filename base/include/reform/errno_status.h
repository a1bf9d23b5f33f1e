// What an errno means to a caller and to a reader.
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

// "<what>: <why>", where `what` names the file and what was tried. kNotFound where there is nothing of that name,
// kUsage for a directory, kNoSpace for a full disk or a file as large as it may get, kMemoryCap where the system has no
// memory left, kUnavailable where too many files are open, else kIo.
Status errno_status(int error, const std::string& what);

}  // namespace reform
