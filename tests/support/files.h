// Reads and writes whole files, and finds the tree's own.
#pragma once

#include <string>

namespace reform::test {

std::string read_file(const std::string& path);  // "" if it does not exist
void write_file(const std::string& path, const std::string& bytes);

// tests/golden/FILE and models/FILE of the tree that was built, or of the tree that REFORM_TEST_TREE names: a test
// program may run on another machine, with nothing else of the tree.
std::string golden_path(const std::string& file);
std::string model_path(const std::string& file);

}  // namespace reform::test
