#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "tests/support/files.h"

using namespace reform;

namespace {

struct Golden {
  uint32_t gguf_id = 0, n_blocks = 0;
  std::vector<uint8_t> blocks;
  std::vector<float> values;
};

// tests/golden/dequant.bin. scripts/make_dequant_golden.py describes its layout.
std::vector<Golden> read_golden() {
  std::ifstream file(test::golden_path("dequant.bin"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  REQUIRE(bytes.substr(0, 4) == "RDQ1");
  size_t at = 4;
  const auto take = [&](void* to, size_t n) {
    REQUIRE(n <= bytes.size() - at);
    std::memcpy(to, bytes.data() + at, n);
    at += n;
  };
  uint32_t n_types = 0;
  take(&n_types, 4);
  std::vector<Golden> all(n_types);
  for (Golden& golden : all) {
    uint32_t sizes[4];
    take(sizes, sizeof(sizes));
    golden.gguf_id = sizes[0], golden.n_blocks = sizes[1];
    golden.blocks.resize(sizes[2]), golden.values.resize(sizes[3]);
    take(golden.blocks.data(), golden.blocks.size());
    take(golden.values.data(), golden.values.size() * sizeof(float));
  }
  REQUIRE(at == bytes.size());
  return all;
}

// Index of the first element whose bits differ, or -1.
int64_t first_difference(const std::vector<float>& got, const std::vector<float>& want) {
  if (got.size() != want.size()) return 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(want[i])) return int64_t(i);
  }
  return -1;
}

std::vector<float> dequantised(QuantType type, const std::vector<uint8_t>& blocks, size_t n_elems) {
  std::vector<float> out(n_elems);
  dequantise(type, blocks.data(), int64_t(n_elems), out.data());
  return out;
}

}  // namespace

TEST_CASE("dequantise: every type equals the gguf package bit for bit", "[kernels][dequant]") {
  const auto all = read_golden();
  std::vector<bool> seen(static_cast<size_t>(QuantType::kCount));
  for (const Golden& golden : all) {
    const auto type = quant_type_from_gguf(golden.gguf_id);
    REQUIRE(type.has_value());
    seen[size_t(*type)] = true;
    const QuantGeometry& g = geometry(*type);
    INFO(g.name);
    REQUIRE(golden.blocks.size() == golden.n_blocks * size_t(g.block_bytes));
    REQUIRE(golden.values.size() == golden.n_blocks * size_t(g.block_elems));
    const auto got = dequantised(*type, golden.blocks, golden.values.size());
    const int64_t at = first_difference(got, golden.values);
    INFO("element " << at << ": got " << got[size_t(std::max<int64_t>(at, 0))] << ", want "
                    << golden.values[size_t(std::max<int64_t>(at, 0))]);
    CHECK(at == -1);
  }
  for (size_t i = 0; i < seen.size(); ++i) {
    INFO("no golden blocks for " << geometry(QuantType(i)).name);
    CHECK(seen[i]);
  }
}

TEST_CASE("dequantise: every byte of a block matters, so a flipped byte shows", "[kernels][dequant]") {
  for (const Golden& golden : read_golden()) {
    const QuantType type = *quant_type_from_gguf(golden.gguf_id);
    const QuantGeometry& g = geometry(type);
    bool all_seen = true;
    for (int32_t byte = 0; byte < g.block_bytes; ++byte) {
      bool shows = false;
      for (uint32_t block = 0; block < golden.n_blocks && !shows; ++block) {
        auto changed = golden.blocks;
        changed[block * size_t(g.block_bytes) + size_t(byte)] ^= 0x11;
        shows = first_difference(dequantised(type, changed, golden.values.size()), golden.values) >= 0;
      }
      all_seen = all_seen && shows;
    }
    INFO(g.name);
    CHECK(all_seen);
  }
}

TEST_CASE("dequantise: blocks at odd addresses, and nothing written past the last element", "[kernels][dequant]") {
  constexpr float kGuard = -12345.5f;
  for (const Golden& golden : read_golden()) {
    const QuantType type = *quant_type_from_gguf(golden.gguf_id);
    std::vector<uint8_t> shifted(golden.blocks.size() + 1);
    std::memcpy(shifted.data() + 1, golden.blocks.data(), golden.blocks.size());
    const int64_t n_elems = int64_t(golden.values.size()) - geometry(type).block_elems;
    std::vector<float> out(golden.values.size(), kGuard);
    dequantise(type, shifted.data() + 1, n_elems, out.data());
    INFO(geometry(type).name);
    CHECK(std::memcmp(out.data(), golden.values.data(), size_t(n_elems) * sizeof(float)) == 0);
    for (size_t i = size_t(n_elems); i < out.size(); ++i) REQUIRE(out[i] == kGuard);
    dequantise(type, shifted.data() + 1, 0, nullptr);
  }
}

TEST_CASE("dequantise: a Q4_1 block worked by hand", "[kernels][dequant]") {
  std::vector<uint8_t> block = {0x00, 0x38, 0x00, 0xbc};  // d = 0.5, m = -1
  for (int i = 0; i < 16; ++i) block.push_back(uint8_t(i | (15 - i) << 4));
  const auto out = dequantised(QuantType::kQ4_1, block, 32);
  for (int i = 0; i < 16; ++i) {
    CHECK(out[size_t(i)] == 0.5f * float(i) - 1.0f);
    CHECK(out[size_t(16 + i)] == 0.5f * float(15 - i) - 1.0f);
  }
}

TEST_CASE("dequantise: infinite and NaN scales stay visible", "[kernels][dequant]") {
  std::vector<uint8_t> block(34, 3);
  block[0] = 0x00, block[1] = 0x7c;  // +infinity
  CHECK(std::isinf(dequantised(QuantType::kQ8_0, block, 32)[5]));
  block[1] = 0x7e;  // NaN
  CHECK(std::isnan(dequantised(QuantType::kQ8_0, block, 32)[31]));
}
