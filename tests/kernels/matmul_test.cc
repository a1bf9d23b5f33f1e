#include "kernels/cpu/matmul.h"

#include <catch2/catch.hpp>
#include <limits>

#include "base/thread_pool.h"
#include "tests/kernels/matmul_cases.h"
#include "tests/support/compare.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr std::byte kGuard{0xa5};

struct Call {
  Isa isa;
  int n_threads = 1;
  bool has_bias = false;
  bool accumulate = false;
};

// Activations [n_tokens, cols], strided, beginning 4 bytes past an alignment, with NaN between the rows.
struct Activations {
  std::vector<float> storage;
  MatView<const float> view;
};

Activations random_activations(int64_t n_tokens, int64_t cols, Random& random) {
  Activations a;
  const int64_t stride = cols + 3;
  a.storage.assign(size_t(n_tokens * stride + 1), std::numeric_limits<float>::quiet_NaN());
  a.view = {a.storage.data() + 1, n_tokens, cols, stride};
  for (int64_t t = 0; t < n_tokens; ++t) {
    for (int64_t c = 0; c < cols; ++c) a.storage[size_t(1 + t * stride + c)] = with_outliers(random);
  }
  return a;
}

float initial_y(int64_t i) { return float(i % 7) - 3.0f; }
float bias_at(int64_t r) { return float(r % 5) * 0.25f - 0.5f; }

// The product [n_tokens, rows], dense. Also checks the gaps between y's rows and the bytes after the workspace.
std::vector<float> product(const Call& call, const Weight& w, MatView<const float> x) {
  const int64_t stride = w.rows + 5, n_tokens = x.rows;
  std::vector<float> y(size_t(n_tokens * stride + 2)), bias;
  for (size_t i = 0; i < y.size(); ++i) y[i] = initial_y(int64_t(i));
  if (call.has_bias) {
    for (int64_t r = 0; r < w.rows; ++r) bias.push_back(bias_at(r));
  }
  const int64_t bytes = cpu::matmul_workspace_bytes(call.isa, n_tokens, w.cols, call.n_threads);
  constexpr int64_t kGuardBytes = 256;
  const size_t allocation = size_t((bytes + kGuardBytes + 63) / 64 * 64);
  std::unique_ptr<std::byte, decltype(&std::free)> workspace(
      static_cast<std::byte*>(std::aligned_alloc(64, allocation)), &std::free);
  std::fill_n(workspace.get(), allocation, kGuard);
  ThreadPool pool(call.n_threads);
  cpu::matmul(call.isa, w, x, bias, call.accumulate, {y.data() + 1, n_tokens, w.rows, stride}, pool,
              {workspace.get(), size_t(bytes)});
  for (size_t i = size_t(bytes); i < allocation; ++i) REQUIRE(workspace.get()[i] == kGuard);
  std::vector<float> dense;
  for (int64_t i = 0; i < int64_t(y.size()); ++i) {
    const int64_t t = (i - 1) / stride, r = (i - 1) % stride;
    if (i > 0 && t < n_tokens && r < w.rows) {
      dense.push_back(y[size_t(i)]);
    } else {
      REQUIRE(y[size_t(i)] == initial_y(i));
    }
  }
  return dense;
}

// The product by plain loops over the exact weights, independent of every path under test.
std::vector<double> expected(const Call& call, const Matrix& m, MatView<const float> x) {
  const int64_t rows = m.weight.rows, cols = m.weight.cols, stride = rows + 5;
  std::vector<double> y;
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      double sum = call.has_bias ? double(bias_at(r)) : 0.0;
      if (call.accumulate) sum += double(initial_y(1 + t * stride + r));
      for (int64_t c = 0; c < cols; ++c) sum += double(x.row(t)[c]) * double(m.values[size_t(r * cols + c)]);
      y.push_back(sum);
    }
  }
  return y;
}

bool is_float(QuantType type) { return geometry(type).block_elems == 1; }

// Odd row counts around the panels' 16 and 32; columns around each format's blocks, groups, units and panels.
struct Shape {
  int64_t rows, cols;
};
std::vector<Shape> shapes(QuantType type) {
  if (is_float(type)) return {{1, 1}, {3, 17}, {35, 67}, {19, 577}, {33, 1031}};
  if (geometry(type).block_elems == 32) return {{1, 32}, {5, 96}, {37, 288}, {18, 544}, {67, 928}};
  return {{1, 256}, {37, 512}, {50, 768}, {21, 1280}};
}

std::vector<QuantType> all_types() {
  std::vector<QuantType> types;
  for (int i = 0; i < int(QuantType::kCount); ++i) types.push_back(QuantType(i));
  return types;
}

std::vector<double> tolerances(const Call& call, const Matrix& m, MatView<const float> x) {
  const bool int8 = call.isa != Isa::kRef && call.isa != Isa::kPortable && !is_float(m.weight.type);
  std::vector<double> allowed = allowed_errors(m, x, int8);
  for (double& a : allowed) a += 1e-6 * (call.has_bias || call.accumulate);  // rounding of y near 3
  return allowed;
}

}  // namespace

TEST_CASE("matmul: the reference agrees with a product worked by hand", "[kernels][matmul]") {
  const float w[] = {1, 2, 3, -1, 0.5f, 4}, x[] = {2, 1, -1, 0, 10, 1};  // [2, 3] and [2, 3]
  const float bias[] = {0.5f, -1};
  float y[] = {100, 200, 300, 400};
  ThreadPool pool(1);
  cpu::matmul(Isa::kRef, {QuantType::kF32, 2, 3, w}, {x, 2, 3}, bias, true, {y, 2, 2}, pool, {});
  CHECK(same_bits(y, std::vector<float>{101.5f, 193.5f, 323.5f, 408.0f}));
}

TEST_CASE("matmul: every isa agrees with doubles for every type, odd shapes, strides, bias and sums",
          "[kernels][matmul]") {
  Random random(20250601);
  for (QuantType type : all_types()) {
    int n_case = 0;
    for (const Shape& shape : shapes(type)) {
      const Matrix m = random_matrix(type, shape.rows, shape.cols, random, shape.rows / 2);
      for (int64_t n_tokens : {1, 2, 3, 5, 7, 8, 9, 17, 33, 64, 129}) {
        if (n_tokens > 17 && shape.cols > 600 && shape.rows > 30) continue;
        const Activations x = random_activations(n_tokens, shape.cols, random);
        ++n_case;
        for (Isa isa : kIsas) {
          if (!isa_supported(isa)) continue;
          const Call call{isa, 1, n_case % 2 == 0, n_case % 3 == 0};
          INFO(geometry(type).name << " " << name(isa) << " rows " << shape.rows << " cols " << shape.cols << " tokens "
                                   << n_tokens << " bias " << call.has_bias << " accumulate " << call.accumulate);
          REQUIRE(compare(product(call, m.weight, x.view), expected(call, m, x.view), tolerances(call, m, x.view)));
        }
      }
    }
  }
}

TEST_CASE("matmul: the result has the same bits for any number of threads", "[kernels][matmul]") {
  Random random(7);
  for (QuantType type : all_types()) {
    const Matrix m = random_matrix(type, 131, is_float(type) ? 517 : 1280, random);
    for (int64_t n_tokens : {1, 5, 131}) {
      const Activations x = random_activations(n_tokens, m.weight.cols, random);
      for (Isa isa : kIsas) {
        if (isa == Isa::kRef || !isa_supported(isa)) continue;
        INFO(geometry(type).name << " " << name(isa) << " tokens " << n_tokens);
        const std::vector<float> one = product({isa, 1}, m.weight, x.view);
        for (int n_threads : {2, 3}) REQUIRE(same_bits(product({isa, n_threads}, m.weight, x.view), one));
      }
    }
  }
}

TEST_CASE("matmul: calls longer than a chunk of activations give each token what it gets alone among others",
          "[kernels][matmul]") {
  Random random(11);
  for (QuantType type : {QuantType::kQ4_K, QuantType::kF16}) {
    const Matrix m = random_matrix(type, 9, 512, random);
    const Activations x = random_activations(2100, 512, random);
    for (Isa isa : kIsas) {
      if (isa == Isa::kRef || !isa_supported(isa)) continue;
      INFO(geometry(type).name << " " << name(isa));
      const std::vector<float> all = product({isa}, m.weight, x.view);
      for (int64_t begin : {0, 1019, 1500, 2080}) {
        const std::vector<float> some = product({isa}, m.weight, x.view.row_range(begin, begin + 20));
        REQUIRE(same_bits(some, std::span(all).subspan(size_t(begin * 9), some.size())));
      }
    }
  }
}

TEST_CASE("matmul: a planted error does not pass", "[kernels][matmul]") {
  Random random(3);
  for (QuantType type : all_types()) {
    const int64_t cols = is_float(type) ? 577 : 1024, rows = 9;
    Matrix m = random_matrix(type, rows, cols, random);
    const Activations x = random_activations(9, cols, random);
    const Call call{best_isa()};
    const std::vector<double> want = expected(call, m, x.view), allowed = tolerances(call, m, x.view);
    INFO(geometry(type).name);
    REQUIRE(compare(product(call, m.weight, x.view), want, allowed));
    // The last block is dropped.
    Weight dropped = m.weight;
    std::vector<uint8_t> bytes = m.bytes;
    const QuantGeometry& g = geometry(type);
    for (int64_t r = 0; r < rows; ++r) {
      std::memset(bytes.data() + (r + 1) * row_bytes(type, cols) - g.block_bytes, 0, size_t(g.block_bytes));
    }
    dropped.data = bytes.data();
    CHECK_FALSE(compare(product(call, dropped, x.view), want, allowed));
    // Neighbouring columns of the activations are swapped, which equals swapping the weights' nibbles.
    Activations swapped = x;
    for (int64_t t = 0; t < 9; ++t) {
      float* row = swapped.storage.data() + 1 + t * (cols + 3);
      for (int64_t c = 0; c + 1 < cols; c += 2) std::swap(row[c], row[c + 1]);
    }
    CHECK_FALSE(compare(product(call, m.weight, MatView<const float>(swapped.storage.data() + 1, 9, cols, cols + 3)),
                        want, allowed));
    // Every value is a quarter too large.
    Activations larger = x;
    for (float& v : larger.storage) v *= 1.25f;
    CHECK_FALSE(compare(product(call, m.weight, MatView<const float>(larger.storage.data() + 1, 9, cols, cols + 3)),
                        want, allowed));
  }
}

TEST_CASE("matmul: a NaN or infinity spoils its own token or row and no other", "[kernels][matmul]") {
  Random random(5);
  constexpr int64_t kRows = 35, kCols = 768;
  for (QuantType type : all_types()) {
    for (int64_t n_tokens : {1, 4, 23}) {
      for (float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        Matrix m = random_matrix(type, kRows, kCols, random);
        Activations x = random_activations(n_tokens, kCols, random);
        const int64_t bad_token = n_tokens - 1, bad_row = 33;
        x.storage[size_t(1 + bad_token * (kCols + 3) + 333)] = poison;
        // The scale of the row's second block (or its 257th value) is infinite, and so are the block's values.
        uint8_t* block = m.bytes.data() + bad_row * row_bytes(type, kCols) + row_bytes(type, 256);
        const float infinity = std::numeric_limits<float>::infinity();
        const uint16_t half = type == QuantType::kBF16 ? f32_to_bf16(infinity) : f32_to_f16(infinity);
        if (type == QuantType::kF32) {
          std::memcpy(block, &infinity, 4);
        } else {
          std::memcpy(block + half_fields(type)[0], &half, 2);
        }
        for (Isa isa : kIsas) {
          if (!isa_supported(isa)) continue;
          INFO(geometry(type).name << " " << name(isa) << " tokens " << n_tokens << " poison " << poison);
          const std::vector<float> y = product({isa}, m.weight, x.view);
          for (int64_t t = 0; t < n_tokens; ++t) {
            for (int64_t r = 0; r < kRows; ++r) {
              const bool spoilt = t == bad_token || r == bad_row;
              // A zero weight times infinity is NaN, so zero weights do not hide it.
              if (spoilt) CHECK_FALSE(std::isfinite(y[size_t(t * kRows + r)]));
              if (!spoilt) CHECK(std::isfinite(y[size_t(t * kRows + r)]));
            }
          }
        }
      }
    }
  }
}
