// Reads and replaces small files: heads, fingerprints.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>

namespace reform {

// Returns the whole contents. Refuses files over max_bytes.
Result<std::string> read_small_file(const std::string& path, int64_t max_bytes);

// Readers see the old contents or the new ones, never a part. Creates the parent directories.
Status replace_file(const std::string& path, const std::string& contents);

}  // namespace reform
