// Products of e4m3 codes: both factors are rounded by one step each, and what a library cannot do is done in 16 bits.
#include <catch2/catch.hpp>
#include <limits>

#include "base/float8.h"
#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/kernels/cuda/plain_codes.h"
#include "tests/kernels/matmul_cases.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

struct Case {
  QuantType type;
  int64_t rows, cols, n_tokens;
  bool has_bias, accumulate;
};
constexpr int64_t kGap = 3;  // between rows of y
constexpr int32_t kId = 2;

OpLimits limits(const Case& c) {
  OpLimits l{c.n_tokens, c.cols, 1, 1, 1, 64};
  l.code_weights = kId + 1;
  return l;
}

struct Operands {
  Matrix m;
  std::vector<float> x, bias;
};

Operands random_operands(const Case& c, Random& random) {
  Operands o{random_matrix(c.type, c.rows, c.cols, random, c.rows / 2), {}, {}};
  o.m.weight.id = kId;
  for (int64_t i = 0; i < c.n_tokens * c.cols; ++i) o.x.push_back(with_outliers(random));
  for (int64_t r = 0; r < c.rows && c.has_bias; ++r) o.bias.push_back(float(r % 5) * 0.25f - 0.5f);
  return o;
}

std::vector<float> product(Ops& ops, const Case& c, const Operands& o) {
  std::vector<float> y(size_t(c.n_tokens * (c.rows + kGap)), 2.0f), dense;
  ops.matmul(o.m.weight, {o.x.data(), c.n_tokens, c.cols}, o.bias, c.accumulate,
             {y.data(), c.n_tokens, c.rows, c.rows + kGap});
  for (int64_t t = 0; t < c.n_tokens; ++t) {
    const float* row = y.data() + t * (c.rows + kGap);
    dense.insert(dense.end(), row, row + c.rows);
    for (int64_t i = c.rows; i < c.rows + kGap; ++i) REQUIRE(row[i] == 2.0f);
  }
  return dense;
}

// Rounds all values by one step, which takes the largest to 448.
std::vector<double> rounded(const std::vector<float>& values) {
  float most = 0;
  for (const float v : values) most = std::max(most, std::abs(v));
  std::vector<double> out;
  out.reserve(values.size());
  for (const float v : values) {
    out.push_back(most > 0 ? double(e4m3_to_f32(f32_to_e4m3(v * (448.0f / most)))) * double(most / 448.0f) : 0.0);
  }
  return out;
}

void expected(const Case& c, const Operands& o, std::vector<double>& want, std::vector<double>& allowed) {
  const std::vector<double> x = rounded(o.x), w = rounded(o.m.values);
  for (int64_t t = 0; t < c.n_tokens; ++t) {
    for (int64_t r = 0; r < c.rows; ++r) {
      double sum = (c.has_bias ? double(o.bias[size_t(r)]) : 0.0) + (c.accumulate ? 2.0 : 0.0), magnitude = 4;
      for (int64_t k = 0; k < c.cols; ++k) {
        const double term = x[size_t(t * c.cols + k)] * w[size_t(r * c.cols + k)];
        sum += term, magnitude += std::abs(term);
      }
      want.push_back(sum);
      allowed.push_back(magnitude * double(c.cols + 8) * 0x1p-24);
    }
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int i = 0; i < int(QuantType::kCount); ++i) {
    const int64_t unit = geometry(QuantType(i)).block_elems, odd = unit == 1 ? 19 + i : unit;
    all.push_back({QuantType(i), 37, 3 * odd, 9 + i, i % 2 == 0, i % 3 == 0});
  }
  // Several panels; more columns than a piece, and no whole number of four; rows that are whole fours of floats.
  for (const Case& c :
       {Case{QuantType::kQ8_0, 300, 512, 10, true, true}, Case{QuantType::kF16, 145, 9, 19, false, true},
        Case{QuantType::kF32, 21, 52, 11, true, false}, Case{QuantType::kBF16, 131, 1028, 12, false, false}})
    all.push_back(c);
  return all;
}

TEST_CASE("cuda codes: both factors are rounded by a step each, whatever the type and shape",
          "[kernels][matmul][cuda]") {
  Random random(101);
  for (const Case& c : cases()) {
    const Operands o = random_operands(c, random);
    std::vector<double> want, allowed;
    expected(c, o, want, allowed);
    PlainCodes products;
    EmulatedCuda ops(limits(c), {.products = &products});
    INFO(geometry(c.type).name << " rows " << c.rows << " cols " << c.cols << " tokens " << c.n_tokens);
    REQUIRE(compare(product(*ops, c, o), want, allowed));
    REQUIRE(compare(product(*ops, c, o), want, allowed));  // now the weight's step is known
    CHECK(products.n_code_calls >= 2);
    CHECK(products.n_calls == 0);
    CHECK(ops.guards_hold());
  }
}

TEST_CASE("cuda codes: a planted error is noticed", "[kernels][matmul][cuda]") {
  Random random(102);
  const Case c{QuantType::kQ4_K, 33, 256, 13, false, false};
  Operands o = random_operands(c, random);
  std::vector<double> want, allowed;
  expected(c, o, want, allowed);
  std::swap(o.x[100], o.x[101]);
  PlainCodes products;
  EmulatedCuda ops(limits(c), {.products = &products});
  CHECK_FALSE(compare(product(*ops, c, o), want, allowed));
}

// Weights without an id or with one past the limit, few tokens, codes that nobody asked for, a library that cannot do
// it.
TEST_CASE("cuda codes: what is not asked for or cannot be had is multiplied as before", "[kernels][matmul][cuda]") {
  Random random(103);
  for (const char* why : {"no id", "large id", "few tokens", "not asked", "refused", "refused later"}) {
    const std::string_view is(why);
    const Case c{QuantType::kQ8_0, 300, 512, is == "few tokens" ? 3 : 10, true, true};
    Operands o = random_operands(c, random);
    OpLimits wide = limits(c), plain = limits(c);
    plain.code_weights = 0;
    if (is == "no id") o.m.weight.id = -1;
    if (is == "large id") o.m.weight.id = kId + 1;
    if (is == "not asked") wide.code_weights = 0;
    PlainCodes products, others;
    if (is == "refused") products.n_before_refusal = 0;
    if (is == "refused later") products.n_before_refusal = 1;
    EmulatedCuda ops(wide, {.products = &products}), as_before(plain, {.products = &others});
    INFO(why);
    std::vector<float> got = product(*ops, c, o), want = product(*as_before, c, o);
    CHECK(ops.guards_hold());
    CHECK(others.n_code_calls == 0);
    CHECK(products.n_code_calls == (is == "refused later" ? 1 : 0));
    if (is != "refused later") {
      CHECK(got == want);
      continue;
    }
    std::vector<double> exact, allowed;  // the first panel is codes, the rest is not
    expected(c, o, exact, allowed);
    for (int64_t t = 0; t < c.n_tokens; ++t) {
      for (int64_t r = 0; r < c.rows; ++r) {
        const size_t i = size_t(t * c.rows + r);
        if (r < products.n_code_rows) {
          REQUIRE(std::abs(double(got[i]) - exact[i]) <= allowed[i]);
        } else {
          REQUIRE(std::abs(double(got[i]) - double(want[i])) <= allowed[i]);
        }
      }
    }
  }
}

TEST_CASE("cuda codes: an activation that is not finite spoils its own token, zeros give zero",
          "[kernels][matmul][cuda]") {
  Random random(104);
  const Case c{QuantType::kQ4_K, 7, 256, 12, false, false};
  Operands o = random_operands(c, random);
  for (float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    o.x[size_t(c.cols + 133)] = poison;
    PlainCodes products;
    EmulatedCuda ops(limits(c), {.products = &products});
    const std::vector<float> y = product(*ops, c, o);
    for (size_t i = 0; i < y.size(); ++i) REQUIRE(std::isfinite(y[i]) == (int64_t(i) / c.rows != 1));
  }
  std::fill(o.x.begin(), o.x.end(), 0.0f);
  PlainCodes products;
  EmulatedCuda ops(limits(c), {.products = &products});
  for (const float v : product(*ops, c, o)) REQUIRE(v == 0.0f);
}

// A slot of streamed weights holds one matrix after another. A step that another job's matrix left must not be used.
TEST_CASE("cuda codes: a weight's step goes with its id, the activations' with what wrote them",
          "[kernels][matmul][cuda]") {
  Random random(105);
  const Case c{QuantType::kF16, 19, 48, 11, false, false};
  Operands o = random_operands(c, random), other = random_operands(c, random);
  for (float& v : other.m.values) v *= 8;
  int64_t outside_writes = 0;
  PlainCodes products;
  EmulatedCuda ops(limits(c), {.products = &products, .outside_writes = &outside_writes});
  const auto check = [&](const Operands& which) {
    std::vector<double> want, allowed;
    expected(c, which, want, allowed);
    REQUIRE(compare(product(*ops, c, which), want, allowed));
  };
  check(o);
  std::vector<float> norm(size_t(c.cols), 1.0f);
  ops->rms_norm({o.x.data(), c.n_tokens, c.cols}, norm, 1e-5f, {o.x.data(), c.n_tokens, c.cols});
  check(o);
  std::vector<uint8_t> slot = o.m.bytes;
  const auto lie_in_slot = [&](Operands& which, int32_t id) {
    std::copy(which.m.bytes.begin(), which.m.bytes.end(), slot.begin());
    which.m.weight.data = slot.data(), which.m.weight.id = id;
    ++outside_writes;
  };
  other = random_operands(c, random);
  lie_in_slot(other, kId - 1);
  check(other);
  lie_in_slot(o, kId);
  check(o);
  ops->forget();
  check(o);
}

}  // namespace
}  // namespace reform::test
