// The matrix product at the shapes of Mistral-NeMo-12B: 4,096 rows as in phase 1 (operations), and one row as in
// decode (bytes of weights; it takes copies of the weights in turn, more than the caches hold).
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "bench/gpu/gpu_bench.h"
#include "bench/micro/random_weights.h"

namespace reform::bench {
namespace {

struct Shape {
  int64_t rows, cols, per_layer;
};
constexpr Shape kShapes[] = {{14336, 5120, 2}, {5120, 14336, 1}, {4096, 5120, 1}, {5120, 4096, 1}, {1024, 5120, 2}};
constexpr int64_t kManyTokens = 4096;
constexpr int64_t kDistinctRows = 61;
constexpr int64_t kPastCachesBytes = 800'000'000;
// Activations and some weights are rounded to BF16 (2^-9 of each at most, independent): a root mean square of 2^-9.
// A wrong block, scale or row is off by more than a tenth.
constexpr double kAllowed = 0.01;
// e4m3 rounds either factor by 2^-4 of it at most: a root mean square of some 0.04.
constexpr double kFp8Allowed = 0.07;

std::string type_name(QuantType type) {
  std::string name = geometry(type).name;
  for (char& c : name) c = char(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

// Compares some tokens and rows, including the last ones, with sums in double.
Result<double> error_of(GpuBench& bench, QuantType type, const std::vector<uint8_t>& bytes, const Shape& s,
                        const std::vector<float>& x, int64_t n_tokens, const float* y) {
  std::vector<float> got, row(static_cast<size_t>(s.cols));
  std::vector<double> want;
  for (int64_t t : {int64_t{0}, n_tokens / 3, n_tokens - 1}) {
    TRY_ASSIGN(const std::vector<float> all, bench.get(y + t * s.rows, s.rows));
    for (int64_t i = 0; i < 16; ++i) {
      const int64_t r = (s.rows - 1) * i / 15;
      dequantise(type, bytes.data() + r * row_bytes(type, s.cols), s.cols, row.data());
      double sum = 0;
      for (int64_t c = 0; c < s.cols; ++c) sum += double(row[size_t(c)]) * x[size_t(t * s.cols + c)];
      want.push_back(sum), got.push_back(all[size_t(r)]);
    }
  }
  return relative_error(got, want);
}

Result<Measured> run_matmul(GpuBench& bench, QuantType type, const Shape& s, int64_t n_tokens, int64_t n_copies,
                            bool fp8) {
  const std::vector<uint8_t> bytes = repeated_weights(type, s.rows, s.cols, kDistinctRows);
  const std::vector<float> x = random_floats(n_tokens * s.cols, 2);
  std::vector<Array<uint8_t>> copies;
  for (int64_t i = 0; i < n_copies; ++i) {
    TRY_ASSIGN(Array<uint8_t> copy, bench.put(bytes));
    copies.push_back(std::move(copy));
  }
  TRY_ASSIGN(const Array<float> x_there, bench.put(x));
  TRY_ASSIGN(Array<float> y, bench.array<float>(n_tokens * s.rows));
  OpLimits limits{n_tokens, std::max(s.cols, s.rows), 64, 32, 8, 128};
  limits.code_weights = fp8 ? 1 : 0;
  TRY_ASSIGN(const BenchOps ops, bench.ops(limits));
  size_t turn = 0;
  const auto call = [&] {
    const Weight w{type, s.rows, s.cols, copies[turn++ % copies.size()].data(), 0};
    ops->matmul(w, {x_there.data(), n_tokens, s.cols}, {}, false, {y.data(), n_tokens, s.rows});
  };
  call();
  Measured m{.allowed = fp8 ? kFp8Allowed : kAllowed};
  TRY_ASSIGN(m.error, error_of(bench, type, bytes, s, x, n_tokens, y.data()));
  m.work = n_tokens == 1 ? double(bytes.size()) : 2.0 * double(n_tokens) * double(s.rows) * double(s.cols);
  TRY_ASSIGN(m.timing, bench.time(y.data(), call));
  return m;
}

// Rows of a table of any type, as FP32: the cost of unpacking weights.
Result<Measured> run_embed(GpuBench& bench, QuantType type, int64_t rows, int64_t cols) {
  const std::vector<uint8_t> bytes = repeated_weights(type, rows, cols, kDistinctRows);
  std::vector<int32_t> ids(static_cast<size_t>(rows));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = int32_t(ids.size() - 1 - i);
  TRY_ASSIGN(const Array<uint8_t> table, bench.put(bytes));
  TRY_ASSIGN(Array<float> out, bench.array<float>(rows * cols));
  TRY_ASSIGN(const BenchOps ops, bench.ops({rows, cols, 64, 32, 8, 128}));
  const auto call = [&] { ops->embed({type, rows, cols, table.data()}, ids, 1.0f, {out.data(), rows, cols}); };
  call();
  TRY_ASSIGN(const std::vector<float> got, bench.get(out.data() + (rows - 1) * cols, cols));
  std::vector<float> first(static_cast<size_t>(cols));
  dequantise(type, bytes.data(), cols, first.data());
  Measured m{.work = double(bytes.size()) + 4.0 * double(rows) * double(cols), .allowed = 1e-6};
  m.error = relative_error(got, {first.begin(), first.end()});
  TRY_ASSIGN(m.timing, bench.time(out.data(), call));
  return m;
}

Case matmul_case(QuantType type, const Shape& s, int64_t n_tokens, int64_t n_copies, bool fp8 = false) {
  const bool decode = n_tokens == 1;
  const std::string op = decode ? "matvec" : fp8 ? kFp8Matmul : "matmul";
  return {fmt::format("{}/{}/{}x{}/{}", op, type_name(type), s.rows, s.cols, n_tokens), decode ? "GB/s" : "TFLOP/s",
          s.per_layer, [=](GpuBench& bench) { return run_matmul(bench, type, s, n_tokens, n_copies, fp8); }};
}

}  // namespace

std::vector<Case> matmul_cases(bool tiny) {
  std::vector<Case> cases;
  const auto add = [&](QuantType type, const Shape& shape) {
    const Shape s = tiny ? Shape{96, 512, shape.per_layer} : shape;
    const int64_t bytes = s.rows * row_bytes(type, s.cols);
    cases.push_back(matmul_case(type, s, tiny ? 33 : kManyTokens, 1));
    cases.push_back(matmul_case(type, s, 1, tiny ? 2 : std::clamp<int64_t>(kPastCachesBytes / bytes, 2, 64)));
  };
  for (const QuantType type : {QuantType::kQ4_K, QuantType::kBF16}) {
    for (const Shape& shape : kShapes) {
      if (!tiny || shape.rows == kShapes[0].rows) add(type, shape);
    }
  }
  for (const QuantType type : {QuantType::kQ4_K, QuantType::kBF16}) {
    for (const Shape& shape : kShapes) {
      if (tiny && shape.rows != kShapes[0].rows) continue;
      const Shape s = tiny ? Shape{96, 512, shape.per_layer} : shape;
      cases.push_back(matmul_case(type, s, tiny ? 33 : kManyTokens, 1, true));
    }
  }
  for (int i = 0; i < int(QuantType::kCount); ++i) {
    const auto type = QuantType(i);
    if (type != QuantType::kQ4_K && type != QuantType::kBF16) add(type, kShapes[0]);
    const int64_t rows = tiny ? 77 : kManyTokens, cols = tiny ? 512 : 5120;
    cases.push_back({fmt::format("embed/{}/{}x{}", type_name(type), rows, cols), "GB/s", 0,
                     [=](GpuBench& bench) { return run_embed(bench, type, rows, cols); }});
  }
  return cases;
}

}  // namespace reform::bench
