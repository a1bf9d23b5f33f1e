// What only a chip can show: the code around the kernels. If the driver refuses a step's graph or the loading of
// kernels, slower ways take over; if a library refuses, our own kernel does. So no other test would notice.
#ifdef REFORM_CUDA

#include <cuda_runtime_api.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "base/float8.h"
#include "kernels/cuda/cublas_lt.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/step_graph.h"
#include "tests/kernels/cuda/device_ops.h"
#include "tests/kernels/cuda/elements.h"
#include "tests/kernels/matmul_cases.h"
#include "tests/support/compare.h"
#include "tests/support/gpu.h"
#include "tests/support/skip.h"

namespace reform::test {
namespace {

// Whether there is a chip. If so, it becomes CUDA's current device.
bool has_chip() {
  const bool there = cudaSetDevice(0) == cudaSuccess && cudaFree(nullptr) == cudaSuccess;
  (void)cudaGetLastError();
  REQUIRE((there || !gpu_needed()));
  return there;
}

template <class T>
class OnChip {
 public:
  explicit OnChip(const std::vector<T>& values) : n_(values.size()) {
    REQUIRE(cudaMalloc(&data_, std::max<size_t>(n_ * sizeof(T), 256)) == cudaSuccess);
    REQUIRE(cudaMemcpy(data_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);  // other streams do not wait for this one's work
  }
  ~OnChip() { cudaFree(data_); }
  OnChip(const OnChip&) = delete;
  OnChip& operator=(const OnChip&) = delete;
  T* data() const { return static_cast<T*>(data_); }
  std::vector<T> values() const {
    std::vector<T> out(n_);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    REQUIRE(cudaMemcpy(out.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return out;
  }

 private:
  size_t n_;
  void* data_ = nullptr;
};

struct Stream {
  Stream() { REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess); }
  ~Stream() { cudaStreamDestroy(stream); }
  cudaStream_t stream = nullptr;
};

TEST_CASE("cuda chip: the driver loads all kernels at once", "[kernels][cuda]") {
  if (!has_chip()) return skip("no GPU");
  const auto n = load_cuda_kernels();
  INFO(n.status().message);
  REQUIRE(n.ok());
  REQUIRE(n.value() > 100);
}

// Token by token, as in a decode. Every third step has one more kernel, so the graph is made anew.
TEST_CASE("cuda chip: recorded steps give what steps issued one by one give", "[kernels][cuda]") {
  if (!has_chip()) return skip("no GPU");
  constexpr int64_t kCols = 256, kRows = 515, kSteps = 7;
  Random random(61);
  const Matrix table = random_matrix(QuantType::kQ8_0, kSteps, kCols, random);
  const Matrix w = random_matrix(QuantType::kQ4_K, kRows, kCols, random);
  const OpLimits limits{1, kCols, 1, 1, 1, 64};
  const OnChip<uint8_t> table_bytes(table.bytes), w_bytes(w.bytes);
  const OnChip<float> norm(std::vector<float>(size_t(kCols), 0.5f));
  const OnChip<float> hidden{std::vector<float>(size_t(kCols))}, normed{std::vector<float>(size_t(kCols))};
  const Weight on_chip_table{QuantType::kQ8_0, kSteps, kCols, table_bytes.data()};
  const Weight on_chip_w{QuantType::kQ4_K, kRows, kCols, w_bytes.data()};
  const MatView<float> x{hidden.data(), 1, kCols}, y{normed.data(), 1, kCols};
  const auto run = [&](bool recorded) {
    const Stream s;
    const OnChip<std::byte> workspace(std::vector<std::byte>(size_t(cuda_workspace_bytes(limits)), std::byte{0xff}));
    const OnChip<float> logits(std::vector<float>(size_t(kRows * kSteps), -1.0f));
    const OnChip<int32_t> ids(std::vector<int32_t>(size_t(2 * kSteps), -1));
    const int64_t outside_writes = 0;
    const auto ops = make_cuda_ops(limits, s.stream, {workspace.data(), size_t(cuda_workspace_bytes(limits))},
                                   {.products = nullptr, .outside_writes = &outside_writes});
    StepGraph graph;
    const auto issue_step = [&](int32_t i) {
      return [&, i]() -> Status {
        const MatView<float> out{logits.data() + i * kRows, 1, kRows};
        ops->embed(on_chip_table, {&i, 1}, 1.0f + float(i), x);
        if (i % 3 == 2) ops->add(x, x);
        ops->rms_norm(x, {norm.data(), size_t(kCols)}, 1e-5f, y);
        ops->matmul(on_chip_w, y, {}, false, out);
        ops->argmax({out.data, size_t(kRows)}, ids.data() + i);
        // All tokens are equally likely, so each step draws another one, through a value that changes in the recorded
        // step.
        ops->draw({out.data, size_t(kRows)}, {.temperature = 1e6, .uniform = (double(i) + 0.5) / kSteps},
                  ids.data() + kSteps + i);
        return {};
      };
    };
    if (recorded) {
      REQUIRE(graph.prepare(s.stream, *ops, issue_step(0)).ok());
      REQUIRE(cudaStreamSynchronize(s.stream) == cudaSuccess);
      for (const int32_t id : ids.values()) REQUIRE(id == -1);  // nothing has run
    }
    for (int32_t i = 0; i < kSteps; ++i) {
      const auto issue = issue_step(i);
      REQUIRE((recorded ? graph.run(s.stream, *ops, issue) : issue()).ok());
    }
    REQUIRE(!graph.refused());
    REQUIRE(graph.n_made() == (recorded ? 5 : 0));  // the first two steps have the prepared kernels
    REQUIRE(cudaGetLastError() == cudaSuccess);
    std::vector<float> got = logits.values();
    for (const int32_t id : ids.values()) got.push_back(float(id));
    for (int32_t i = 1; i < kSteps; ++i)
      REQUIRE(ids.values()[size_t(kSteps + i)] > ids.values()[size_t(kSteps + i - 1)]);
    return got;
  };
  REQUIRE(run(true) == run(false));
}

struct Product {
  int64_t n_tokens, n_rows, depth, gap;
  bool has_bias, accumulate;
  cuda::Element element = cuda::Element::kF16;
};

TEST_CASE("cuda chip: cuBLASLt gives the sums that we ask of it", "[kernels][cuda]") {
  if (!has_chip()) return skip("no GPU");
  const auto library = load_cublas_lt("");
  if (library == nullptr) return;
  constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;
  const OnChip<std::byte> workspace{std::vector<std::byte>(size_t(kWorkspaceBytes))};
  const Stream s;
  Random random(62);
  for (const Product& p : {Product{9, 131, 8, 0, false, false}, Product{133, 37, 200, 3, true, true},
                           Product{1000, 384, 1024, 0, true, false}, Product{64, 259, 256, 5, false, true},
                           Product{1000, 384, 1024, 0, true, true, cuda::Element::kBf16}}) {
    INFO("tokens " << p.n_tokens << " rows " << p.n_rows << " depth " << p.depth << " bias " << p.has_bias);
    const auto elements = [&](int64_t n) {
      std::vector<uint16_t> out;
      for (int64_t i = 0; i < n; ++i) out.push_back(element_of(p.element, normal(random)));
      return out;
    };
    const std::vector<uint16_t> x = elements(p.n_tokens * p.depth), w = elements(p.n_rows * p.depth);
    std::vector<float> bias;
    for (int64_t r = 0; r < p.n_rows; ++r) bias.push_back(normal(random));
    const int64_t y_stride = p.n_rows + p.gap;
    const OnChip<uint16_t> x_there(x), w_there(w);
    const OnChip<float> bias_there(bias), y(std::vector<float>(size_t(p.n_tokens * y_stride), 2.0f));
    const cuda::ProductCall call{
        p.element,  x_there.data(), w_there.data(), y.data(), p.has_bias ? bias_there.data() : nullptr,
        p.n_tokens, p.n_rows,       p.depth,        p.depth,  p.depth,
        y_stride,   p.accumulate};
    const bool done = library->multiply(call, s.stream, {workspace.data(), size_t(kWorkspaceBytes)});
    REQUIRE((done || y_stride % 4 != 0));  // the library may refuse rows of odd lengths
    if (!done) continue;
    const std::vector<float> got = y.values();
    std::vector<double> want, allowed;
    for (int64_t t = 0; t < p.n_tokens; ++t) {
      for (int64_t r = 0; r < y_stride; ++r) {
        const bool is_gap = r >= p.n_rows;
        double sum = is_gap || p.accumulate ? 2 : 0, magnitude = 4;
        if (!is_gap && p.has_bias) sum += double(bias[size_t(r)]);
        for (int64_t k = 0; k < p.depth && !is_gap; ++k) {
          const double term = double(value_of(p.element, x[size_t(t * p.depth + k)])) *
                              double(value_of(p.element, w[size_t(r * p.depth + k)]));
          sum += term, magnitude += std::abs(term);
        }
        want.push_back(sum);
        allowed.push_back(is_gap ? 0 : magnitude * double(p.depth + 8) * 0x1p-23);
      }
    }
    REQUIRE(compare(got, want, allowed));
  }
}

// Rounds all values by one step, which takes the largest to 448.
std::vector<double> rounded_to_codes(const std::vector<float>& values) {
  float most = 0;
  for (const float v : values) most = std::max(most, std::abs(v));
  std::vector<double> out;
  out.reserve(values.size());
  for (const float v : values) {
    out.push_back(double(e4m3_to_f32(f32_to_e4m3(v * (448.0f / most)))) * double(most / 448.0f));
  }
  return out;
}

TEST_CASE("cuda chip: attention by warpgroups is used where there are any", "[kernels][cuda]") {
  if (!has_chip()) return skip("no GPU");
  const auto device = open_cuda_device(0, {.max_bytes = int64_t{2} << 30});
  INFO(device.status().message);
  REQUIRE(device.ok());
  const bool used = std::string(device.value()->attention()).starts_with("warpgroups");
  REQUIRE(used == chip_has_warpgroups());
}

// Our kernels make the codes and cuBLASLt multiplies them. A chip or library that cannot must say so.
TEST_CASE("cuda chip: FP8 products are those of the rounded factors", "[kernels][cuda]") {
  if (!has_chip()) return skip("no GPU");
  const auto chips = list_cuda_chips();
  const bool has_fp8 = chips[0].major > 8 || (chips[0].major == 8 && chips[0].minor >= 9);
  const auto device = open_cuda_device(0, {.max_bytes = int64_t{1} << 30, .fp8 = true});
  INFO(device.status().message);
  REQUIRE((device.ok() || device.status().code == Code::kUnavailable));
  if (!has_fp8) REQUIRE(!device.ok());
  const auto library = load_cublas_lt("");
  if (!device.ok()) return;
  REQUIRE(library != nullptr);
  const Stream s;
  Random random(63);
  for (const QuantType type : {QuantType::kQ4_K, QuantType::kQ8_0, QuantType::kBF16, QuantType::kF32}) {
    const int64_t n_tokens = 133, n_rows = 384, depth = 512;
    INFO(geometry(type).name);
    const Matrix m = random_matrix(type, n_rows, depth, random);
    std::vector<float> x;
    for (int64_t i = 0; i < n_tokens * depth; ++i) x.push_back(normal(random));
    OpLimits limits{n_tokens, depth, 1, 1, 1, 64};
    limits.code_weights = 1;
    const int64_t workspace_bytes = cuda_workspace_bytes(limits);
    const OnChip<std::byte> workspace(std::vector<std::byte>(size_t(workspace_bytes), std::byte{0xff}));
    const OnChip<uint8_t> w_there(m.bytes);
    const OnChip<float> x_there(x), bias(std::vector<float>(size_t(n_rows), 0.5f));
    const OnChip<float> y(std::vector<float>(size_t(n_tokens * n_rows), 2.0f));
    const auto ops = make_cuda_ops(limits, s.stream, {workspace.data(), size_t(workspace_bytes)},
                                   {.products = library.get(), .outside_writes = nullptr});
    ops->matmul({type, n_rows, depth, w_there.data(), 0}, {x_there.data(), n_tokens, depth},
                {bias.data(), size_t(n_rows)}, true, {y.data(), n_tokens, n_rows});
    const std::vector<float> got = y.values();
    const std::vector<double> x_rounded = rounded_to_codes(x), w_rounded = rounded_to_codes(m.values);
    std::vector<double> want, allowed;
    for (int64_t t = 0; t < n_tokens; ++t) {
      for (int64_t r = 0; r < n_rows; ++r) {
        double sum = 2.5, magnitude = 4;
        for (int64_t k = 0; k < depth; ++k) {
          const double term = x_rounded[size_t(t * depth + k)] * w_rounded[size_t(r * depth + k)];
          sum += term, magnitude += std::abs(term);
        }
        want.push_back(sum);
        // A chip may keep as few as 13 bits within a run of products. A wrong step, row or column is off by more.
        allowed.push_back(magnitude * 0x1p-11);
      }
    }
    REQUIRE(compare(got, want, allowed));
  }
}

}  // namespace
}  // namespace reform::test

#endif
