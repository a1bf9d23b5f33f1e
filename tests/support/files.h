// Whole files, in and out, and where the tree's own lie.
#pragma once

#include <string>

namespace reform::test {

std::string read_file(const std::string& path);  // "" if there is none
void write_file(const std::string& path, const std::string& bytes);

// tests/golden/FILE and models/FILE of the tree that was built, or of the one that REFORM_TEST_TREE names: a test
// program may run on a machine that has only it and those.
std::string golden_path(const std::string& file);
std::string model_path(const std::string& file);

}  // namespace reform::test
