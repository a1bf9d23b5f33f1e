// Small files of ours: heads, fingerprints.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>

namespace reform {

// Whole contents; kNotFound or kIo name the path. Refuses files over max_bytes.
Result<std::string> read_small_file(const std::string& path, int64_t max_bytes);

// Readers see the old contents or the new, never a part. Makes the parent directories.
Status replace_file(const std::string& path, const std::string& contents);

}  // namespace reform
