// Whole files, in and out.
#pragma once

#include <string>

namespace reform::test {

std::string read_file(const std::string& path);  // "" if there is none
void write_file(const std::string& path, const std::string& bytes);

}  // namespace reform::test
