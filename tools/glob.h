// Shell patterns for names of files: *, ?, [...].
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace reform::tool {

// Whether one of the patterns fits `path`, which is below the directory that was named. Without a '/' a pattern is
// compared with the last name alone. With a '/' at its end it fits directories only. Characters are those of UTF-8; in
// a name that is none, bytes.
bool fits_any(const std::vector<std::string>& globs, const std::string& path, bool is_folder);

// False for what fnmatch() would compare character by character, as if it were no pattern.
bool is_whole_glob(std::string_view glob);

}  // namespace reform::tool
