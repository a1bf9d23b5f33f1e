// The CUDA matrix products. With more than eight tokens, BF16 rounds each factor by at most 2^-9 of it, up or down at
// random. With fewer, quantised weights meet activations of 16 bits, with a scale for each run of 16. allowed_errors()
// bounds them for groups of 32, whose steps are no smaller.
#include <catch2/catch.hpp>
#include <limits>

#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/kernels/matmul_cases.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

struct Case {
  int64_t rows, cols, n_tokens;
  bool has_bias, accumulate;
};

OpLimits limits(const Case& c) { return {c.n_tokens, c.cols, 1, 1, 1, 64}; }

std::vector<float> product(Ops& ops, const Matrix& m, const Case& c, const std::vector<float>& x) {
  std::vector<float> bias, y(size_t(c.n_tokens * c.rows));
  for (int64_t r = 0; r < c.rows; ++r) bias.push_back(float(r % 5) * 0.25f - 0.5f);
  for (size_t i = 0; i < y.size(); ++i) y[i] = float(i % 7) - 3.0f;
  const std::span<const float> biases = c.has_bias ? std::span<const float>(bias) : std::span<const float>();
  ops.matmul(m.weight, {x.data(), c.n_tokens, c.cols}, biases, c.accumulate, {y.data(), c.n_tokens, c.rows});
  return y;
}

// The product by plain loops over the exact weights, and the errors that the path's rounding allows.
void expected(const Matrix& m, const Case& c, const std::vector<float>& x, std::vector<double>& want,
              std::vector<double>& allowed) {
  const bool narrow = c.n_tokens > 8, int8 = !narrow && geometry(m.weight.type).block_elems > 1;
  const std::vector<double> few = allowed_errors(m, {x.data(), c.n_tokens, c.cols}, int8);
  for (int64_t t = 0; t < c.n_tokens; ++t) {
    for (int64_t r = 0; r < c.rows; ++r) {
      double sum = c.has_bias ? double(float(r % 5) * 0.25f - 0.5f) : 0.0, variance = 0, magnitude = 0;
      if (c.accumulate) sum += double(float((t * c.rows + r) % 7) - 3.0f);
      for (int64_t k = 0; k < c.cols; ++k) {
        const double term = double(x[size_t(t * c.cols + k)]) * double(m.values[size_t(r * c.cols + k)]);
        sum += term, magnitude += std::abs(term), variance += term * term;
      }
      want.push_back(sum);
      const double rounding = narrow ? 6 * 2 * 0x1p-9 * std::sqrt(variance / 3) : few[size_t(t * c.rows + r)];
      allowed.push_back(rounding + magnitude * double(c.cols + 8) * 0x1p-24 + 1e-6);
    }
  }
}

TEST_CASE("cuda matmul agrees with doubles for every type and odd shapes", "[kernels][matmul][cuda]") {
  Random random(77);
  for (int i = 0; i < int(QuantType::kCount); ++i) {
    const QuantType type = QuantType(i);
    const int64_t unit = geometry(type).block_elems == 1 ? 19 : geometry(type).block_elems;
    const Case cases[] = {
        {1, unit, 1, false, false},      {37, 3 * unit, 3, true, true},  {67, 2 * unit, 8, true, false},
        {5, unit, 9, false, true},       {65, 2 * unit, 17, true, true}, {130, unit, 129, true, false},
        {70, 3 * unit, 70, false, true}, {5, 13 * 256, 2, true, false}};  // the last: several warps a row
    for (const Case& c : cases) {
      const Matrix m = random_matrix(type, c.rows, c.cols, random, c.rows / 2);
      std::vector<float> x(size_t(c.n_tokens * c.cols));
      for (float& v : x) v = with_outliers(random);
      std::vector<double> want, allowed;
      expected(m, c, x, want, allowed);
      INFO(geometry(type).name << " rows " << c.rows << " cols " << c.cols << " tokens " << c.n_tokens);
      for_each_cuda(limits(c), [&](Ops& ops) { REQUIRE(compare(product(ops, m, c, x), want, allowed)); });
    }
  }
}

// A copy of `bytes` that begins `offset` past a multiple of 16.
const uint8_t* placed(const std::vector<uint8_t>& bytes, int64_t offset, std::vector<uint8_t>& memory) {
  memory.assign(bytes.size() + 16 + size_t(offset), 0);
  uint8_t* data = memory.data() + (16 - reinterpret_cast<uintptr_t>(memory.data()) % 16) % 16 + offset;
  std::copy(bytes.begin(), bytes.end(), data);
  return data;
}

TEST_CASE("cuda matmul: weights may lie at any multiple of two bytes, floats of their size",
          "[kernels][matmul][cuda]") {
  Random random(79);
  for (int i = 0; i < int(QuantType::kCount); ++i) {
    const QuantType type = QuantType(i);
    for (int64_t n_tokens : {3, 11}) {
      const Case c{9, 256, n_tokens, false, false};
      Matrix m = random_matrix(type, c.rows, c.cols, random);
      std::vector<float> x(size_t(c.n_tokens * c.cols));
      for (float& v : x) v = normal(random);
      std::vector<double> want, allowed;
      expected(m, c, x, want, allowed);
      EmulatedCuda ops(limits(c));
      for (int64_t offset : {0, 2, 4}) {
        if (type == QuantType::kF32 && offset % 4 != 0) continue;
        std::vector<uint8_t> memory;
        m.weight.data = placed(m.bytes, offset, memory);
        INFO(geometry(type).name << " tokens " << n_tokens << " offset " << offset);
        REQUIRE(compare(product(*ops, m, c, x), want, allowed));
      }
    }
  }
}

TEST_CASE("cuda matmul: a NaN or infinity spoils its own token and no other", "[kernels][matmul][cuda]") {
  Random random(80);
  for (QuantType type : {QuantType::kQ4_K, QuantType::kQ6_K, QuantType::kQ8_0, QuantType::kF16}) {
    for (int64_t n_tokens : {3, 12}) {
      for (float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        const Case c{7, 512, n_tokens, false, false};
        const Matrix m = random_matrix(type, c.rows, c.cols, random);
        std::vector<float> x(size_t(c.n_tokens * c.cols));
        for (float& v : x) v = normal(random);
        x[size_t(c.cols + 333)] = poison;
        EmulatedCuda ops(limits(c));
        const std::vector<float> y = product(*ops, m, c, x);
        for (int64_t k = 0; k < n_tokens * c.rows; ++k) REQUIRE(std::isfinite(y[size_t(k)]) == (k / c.rows != 1));
      }
    }
  }
}

TEST_CASE("cuda matmul: a block dropped, or columns swapped, is noticed for every type", "[kernels][matmul][cuda]") {
  Random random(81);
  for (int i = 0; i < int(QuantType::kCount); ++i) {
    for (int64_t n_tokens : {2, 9}) {
      if (n_tokens == 9 && i % 4 != 2) continue;  // same unpacking as the others
      const Case c{6, 512, n_tokens, false, false};
      Matrix m = random_matrix(QuantType(i), c.rows, c.cols, random);
      std::vector<float> x(size_t(c.n_tokens * c.cols));
      for (float& v : x) v = normal(random);
      std::vector<double> want, allowed;
      expected(m, c, x, want, allowed);
      EmulatedCuda ops(limits(c));
      INFO(geometry(QuantType(i)).name << " tokens " << n_tokens);
      REQUIRE(compare(product(*ops, m, c, x), want, allowed));
      std::vector<float> swapped = x;
      for (size_t k = 0; k + 1 < x.size(); k += 2) std::swap(swapped[k], swapped[k + 1]);
      CHECK_FALSE(compare(product(*ops, m, c, swapped), want, allowed));
      const int64_t dropped = row_bytes(QuantType(i), 256), row = 2 * dropped;
      for (int64_t r = 0; r < c.rows; ++r) std::fill_n(m.bytes.begin() + r * row + dropped, dropped, uint8_t(0));
      CHECK_FALSE(compare(product(*ops, m, c, x), want, allowed));
    }
  }
}

TEST_CASE("cuda matmul: one wrong weight or one wrong activation is noticed", "[kernels][matmul][cuda]") {
  Random random(78);
  for (int64_t n_tokens : {3, 40}) {
    const Case c{33, 96, n_tokens, false, false};
    Matrix m = random_matrix(QuantType::kF32, c.rows, c.cols, random);
    std::vector<float> x(size_t(c.n_tokens * c.cols));
    for (float& v : x) v = normal(random);
    std::vector<double> want, allowed;
    expected(m, c, x, want, allowed);
    EmulatedCuda ops(limits(c));
    REQUIRE(compare(product(*ops, m, c, x), want, allowed));
    std::vector<float> wrong = x;
    wrong[size_t(2 * c.cols + 50)] += 1.0f;
    CHECK_FALSE(compare(product(*ops, m, c, wrong), want, allowed));
    const float other = m.values[size_t(7 * c.cols + 3)] + 1.0f;
    std::memcpy(m.bytes.data() + (7 * c.cols + 3) * 4, &other, 4);
    CHECK_FALSE(compare(product(*ops, m, c, x), want, allowed));
  }
}

}  // namespace
}  // namespace reform::test
