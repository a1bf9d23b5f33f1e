// The product of 16-bit matrices: our own kernel's pipeline, and a library in its place.
#include <catch2/catch.hpp>

#include "tests/kernels/cuda/elements.h"
#include "tests/kernels/cuda/emulated.h"
#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/kernels/matmul_cases.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

// A library of plain loops. If told to, it refuses products with a bias.
class PlainProducts final : public cuda::ProductLibrary {
 public:
  explicit PlainProducts(bool refuses_bias = false) : refuses_bias_(refuses_bias) {}
  const char* name() const override { return "plain"; }
  bool multiply(const cuda::ProductCall& c, void* /*stream*/, std::span<std::byte> workspace) override {
    if (refuses_bias_ && c.bias != nullptr) return false;
    ++n_calls;
    std::fill(workspace.begin(), workspace.end(), std::byte{0xff});
    for (int64_t t = 0; t < c.n_tokens; ++t) {
      for (int64_t r = 0; r < c.n_rows; ++r) {
        float sum = c.bias != nullptr ? c.bias[r] : 0.0f;
        for (int64_t k = 0; k < c.depth; ++k) {
          sum += value_of(c.element, c.x[t * c.x_stride + k]) * value_of(c.element, c.w[r * c.w_stride + k]);
        }
        float& y = c.y[t * c.y_stride + r];
        y = c.accumulate ? y + sum : sum;
      }
    }
    return true;
  }
  int n_calls = 0;

 private:
  const bool refuses_bias_;
};

struct Case {
  QuantType type;
  int64_t rows, cols, n_tokens;
  bool has_bias, accumulate;
};
constexpr int64_t kGap = 3;  // between rows of y

OpLimits limits(const Case& c) { return {c.n_tokens, c.cols, 1, 1, 1, 64}; }

struct Operands {
  Matrix m;
  std::vector<float> x, bias;
};

Operands random_operands(const Case& c, Random& random) {
  Operands o{random_matrix(c.type, c.rows, c.cols, random), {}, {}};
  for (int64_t i = 0; i < c.n_tokens * c.cols; ++i) o.x.push_back(normal(random));
  for (int64_t r = 0; r < c.rows && c.has_bias; ++r) o.bias.push_back(float(r % 5) * 0.25f - 0.5f);
  return o;
}

std::vector<float> product(Ops& ops, const Case& c, const Operands& o, const Weight& w) {
  std::vector<float> y(size_t(c.n_tokens * (c.rows + kGap)), 2.0f), dense;
  ops.matmul(w, {o.x.data(), c.n_tokens, c.cols}, o.bias, c.accumulate, {y.data(), c.n_tokens, c.rows, c.rows + kGap});
  for (int64_t t = 0; t < c.n_tokens; ++t) {
    const float* row = y.data() + t * (c.rows + kGap);
    dense.insert(dense.end(), row, row + c.rows);
    for (int64_t i = c.rows; i < c.rows + kGap; ++i) REQUIRE(row[i] == 2.0f);
  }
  return dense;
}

// Rounds both factors as the ops do, so that only the order of FP32 sums differs.
void expected(const Case& c, const Operands& o, std::vector<double>& want, std::vector<double>& allowed) {
  const auto element = c.type == QuantType::kBF16 ? cuda::Element::kBf16 : cuda::Element::kF16;
  const auto rounded = [&](float v) { return double(value_of(element, element_of(element, v))); };
  for (int64_t t = 0; t < c.n_tokens; ++t) {
    for (int64_t r = 0; r < c.rows; ++r) {
      double sum = (c.has_bias ? double(o.bias[size_t(r)]) : 0.0) + (c.accumulate ? 2.0 : 0.0), magnitude = 4;
      for (int64_t k = 0; k < c.cols; ++k) {
        const double term = rounded(o.x[size_t(t * c.cols + k)]) * rounded(o.m.values[size_t(r * c.cols + k)]);
        sum += term, magnitude += std::abs(term);
      }
      want.push_back(sum);
      allowed.push_back(magnitude * double(c.cols + 8) * 0x1p-24);
    }
  }
}

// Depths of one step and of many, with and without a remainder; more than a tile of tokens and of rows; several panels.
constexpr Case kCases[] = {{QuantType::kBF16, 131, 8, 9, false, false},   {QuantType::kBF16, 37, 200, 133, true, true},
                           {QuantType::kBF16, 21, 77, 11, true, false},   {QuantType::kF32, 5, 33, 140, false, true},
                           {QuantType::kQ8_0, 300, 224, 10, true, true},  {QuantType::kF16, 145, 9, 19, false, false},
                           {QuantType::kQ4_K, 259, 256, 12, true, false}, {QuantType::kF16, 17, 353, 16, true, true}};

TEST_CASE("cuda product: copies that come late or at once give the sums of the rounded factors",
          "[kernels][matmul][cuda]") {
  Random random(91);
  for (const Case& c : kCases) {
    const Operands o = random_operands(c, random);
    std::vector<double> want, allowed;
    expected(c, o, want, allowed);
    INFO(geometry(c.type).name << " rows " << c.rows << " cols " << c.cols << " tokens " << c.n_tokens);
    for_each_cuda(limits(c), [&](Ops& ops) { REQUIRE(compare(product(ops, c, o, o.m.weight), want, allowed)); });
    cuda::emulated::copies_at_once = true;
    EmulatedCuda at_once(limits(c));
    const std::vector<float> got = product(*at_once, c, o, o.m.weight);
    cuda::emulated::copies_at_once = false;
    REQUIRE(compare(got, want, allowed));
  }
}

TEST_CASE("cuda product: a library multiplies what it can, and our own kernel the rest", "[kernels][matmul][cuda]") {
  Random random(92);
  for (const Case& c : kCases) {
    const Operands o = random_operands(c, random);
    std::vector<double> want, allowed;
    expected(c, o, want, allowed);
    INFO(geometry(c.type).name << " rows " << c.rows << " cols " << c.cols << " tokens " << c.n_tokens);
    for (bool refuses_bias : {false, true}) {
      PlainProducts products(refuses_bias);
      EmulatedCuda ops(limits(c), {.products = &products});
      REQUIRE(compare(product(*ops, c, o, o.m.weight), want, allowed));
      CHECK((products.n_calls > 0) == !(refuses_bias && c.has_bias));
      CHECK(ops.guards_hold());
    }
  }
}

TEST_CASE("cuda product: BF16 weights are read where they lie if they are aligned, and copied if not",
          "[kernels][matmul][cuda]") {
  Random random(93);
  const Case c{QuantType::kBF16, 19, 48, 13, false, false};
  const Operands o = random_operands(c, random);
  std::vector<double> want, allowed;
  expected(c, o, want, allowed);
  for (int64_t offset : {0, 2, 4, 8, 16}) {
    std::vector<uint8_t> memory(o.m.bytes.size() + 64);
    const uintptr_t address = (reinterpret_cast<uintptr_t>(memory.data()) + 15) / 16 * 16 + uintptr_t(offset);
    uint8_t* data = memory.data() + (address - reinterpret_cast<uintptr_t>(memory.data()));
    std::copy(o.m.bytes.begin(), o.m.bytes.end(), data);
    EmulatedCuda ops(limits(c));
    INFO("offset " << offset);
    REQUIRE(compare(product(*ops, c, o, {c.type, c.rows, c.cols, data}), want, allowed));
  }
}

}  // namespace
}  // namespace reform::test
