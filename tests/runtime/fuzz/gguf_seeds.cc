// Writes the GGUF fuzz target's first inputs: small files that between them use every part of the format.
#include <cstdio>
#include <string>
#include <vector>

#include "tests/support/gguf_writer.h"

using namespace reform;

namespace {

GgufWriter metadata_of_every_kind(uint32_t version) {
  GgufWriter w(version);
  w.add("a", uint8_t{1}), w.add("b", int8_t{-1}), w.add("c", uint16_t{2}), w.add("d", int16_t{-2});
  w.add("e", uint32_t{3}), w.add("f", int32_t{-3}), w.add("g", uint64_t{4}), w.add("h", int64_t{-4});
  w.add("i", 1.0f), w.add("j", 2.0), w.add("k", true), w.add("l", "text");
  w.add("m", std::vector<std::string>{"x", "", "yz"}), w.add("n", std::vector<int32_t>{1, 2});
  w.add("o", std::vector<uint32_t>{3}), w.add("p", std::vector<float>{0.5f}), w.add("q", std::vector<bool>{true});
  return w;
}

GgufWriter tensor_of_type(QuantType type) {
  GgufWriter w;
  const int64_t cols = geometry(type).block_elems;
  const std::vector<std::byte> data(size_t(2 * row_bytes(type, cols)), std::byte{0x35});
  w.add_tensor("t", type, {cols, 2}, data);
  return w;
}

GgufWriter aligned() {
  GgufWriter w;
  w.add("general.alignment", uint32_t{8});
  w.add("split.count", uint16_t{1});
  w.set_alignment(8);
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  w.add_tensor_f32("one", {3, 2, 1}, values);
  w.add_tensor_f32("two", {3, 1, 1, 2}, values);
  return w;
}

GgufWriter nested_arrays() {
  GgufWriter w;
  const std::string one_u8("\0\0\0\0\x01\0\0\0\0\0\0\0x", 13), header("\x09\0\0\0\x02\0\0\0\0\0\0\0", 12);
  w.add_raw("n", 9, header + one_u8 + one_u8);
  return w;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  const std::string dir = std::string(argv[1]) + "/";
  metadata_of_every_kind(2).write_file(dir + "seed-v2");
  metadata_of_every_kind(3).write_file(dir + "seed-v3");
  aligned().write_file(dir + "seed-aligned");
  nested_arrays().write_file(dir + "seed-nested");
  for (size_t i = 0; i < size_t(QuantType::kCount); ++i) {
    tensor_of_type(QuantType(i)).write_file(dir + "seed-" + geometry(QuantType(i)).name);
  }
}
