// Small files of ours (heads, fingerprints) and the directories they live in.
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

// Whole contents; kNotFound or kIo name the path. Refuses files over max_bytes.
Result<std::string> read_small_file(const std::string& path, int64_t max_bytes);

// Readers see the old contents or the new, never a part. Makes the parent directories.
Status replace_file(const std::string& path, const std::string& contents);

std::string default_cache_dir();  // $XDG_CACHE_HOME/reform, else ~/.cache/reform
std::string default_data_dir();   // $XDG_DATA_HOME/reform, else ~/.local/share/reform

}  // namespace reform
