#include "tests/support/files.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace reform::test {
namespace {

std::string tree() {
  const char* elsewhere = std::getenv("REFORM_TEST_TREE");
  return elsewhere != nullptr ? elsewhere : REFORM_SOURCE_TREE;
}

}  // namespace

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string golden_path(const std::string& file) { return tree() + "/tests/golden/" + file; }

std::string model_path(const std::string& file) { return tree() + "/models/" + file; }

}  // namespace reform::test
