// The three standard descriptors.
#pragma once

#include <string>
#include <string_view>

namespace reform::tool {

// Fills those that the caller closed, so that no file that is opened later takes their numbers. Reading or writing what
// was closed goes on to fail.
void fill_standard_descriptors();

// Writes all bytes, also where the descriptor does not block. Returns 0 or the errno of what could not be written.
int write_fully(int fd, std::string_view bytes);
// Some file systems say only on closing that there was no room. The errno of that; `fd` stays open.
int late_write_error(int fd);
// "standard output" or "standard error" if that goes to the file, pipe or terminal at `path`, by whatever name; "" if
// neither does. Who writes there, too, mixes both, or loses what the command says.
std::string stream_into(const std::string& path);

}  // namespace reform::tool
