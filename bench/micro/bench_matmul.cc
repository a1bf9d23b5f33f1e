// The matrix product on the shapes of real models. Case names: matmul/TYPE/ISA/COLSxROWS/TOKENS.
//
// gops and gbs are of the best iteration (other work on the machine can only slow one down), per thread if there are
// several; share is gops over the machine's measured INT8 peak, or FP32 peak for float weights, and of_read is gbs over
// its read bandwidth. Weights rotate through more memory than the caches hold when a call is a matrix times a vector.
// Options beside Google Benchmark's: --tiny (smoke run, one small case per type and isa), --threads=N.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "bench/micro/bench_main.h"
#include "bench/micro/machine_peak.h"
#include "bench/micro/random_weights.h"
#include "kernels/cpu/matmul.h"

namespace reform::bench {
namespace {

struct Case {
  QuantType type;
  int64_t cols, rows, n_tokens;
};

// Cosine against the reference on up to 64 rows.
bool agrees_with_reference(Isa isa, const Weight& w, MatView<const float> x, ThreadPool& pool,
                           std::span<std::byte> workspace) {
  Weight some = w;
  some.rows = std::min<int64_t>(w.rows, 64);
  const int64_t n_tokens = std::min<int64_t>(x.rows, 16);
  std::vector<float> got(size_t(some.rows * n_tokens)), want = got;
  cpu::matmul(isa, some, x.row_range(0, n_tokens), {}, false, {got.data(), n_tokens, some.rows}, pool, workspace);
  cpu::matmul(Isa::kRef, some, x.row_range(0, n_tokens), {}, false, {want.data(), n_tokens, some.rows}, pool, {});
  double gw = 0, gg = 0, ww = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    gw += double(got[i]) * want[i], gg += double(got[i]) * got[i], ww += double(want[i]) * want[i];
  }
  return gw / std::sqrt(gg * ww) > 0.9999999;
}

struct Peaks {
  double int8 = 0, fp32 = 0, read = 0;
};

void run_case(benchmark::State& state, Isa isa, const Case& c, int n_threads, const Peaks& peaks) {
  ThreadPool pool(n_threads);
  const std::vector<uint8_t> bytes = random_weights(c.type, c.rows, c.cols);
  // A vector's product is bound by memory, so it takes 400 MB of copies of the weights in turn.
  const size_t n_copies = c.n_tokens >= 8 ? 1 : std::clamp<size_t>(400'000'000 / bytes.size(), 1, 500);
  std::vector<uint8_t> copies(bytes.size() * n_copies);
  for (size_t i = 0; i < n_copies; ++i)
    std::copy(bytes.begin(), bytes.end(), copies.begin() + int64_t(i * bytes.size()));
  std::vector<float> x(size_t(c.n_tokens * c.cols)), y(size_t(c.n_tokens * c.rows));
  std::minstd_rand random(2);
  for (float& v : x) v = float(int(random() % 2001) - 1000) * 1e-3f;
  MemoryAccount account;
  auto workspace = Buffer<std::byte>::create(account, MemoryCategory::kWorkspace,
                                             cpu::matmul_workspace_bytes(isa, c.n_tokens, c.cols, n_threads));
  if (!workspace.ok()) return state.SkipWithError(workspace.status().message.c_str());
  Weight w{c.type, c.rows, c.cols, copies.data()};
  const MatView<const float> x_view{x.data(), c.n_tokens, c.cols};
  if (!agrees_with_reference(isa, w, x_view, pool, workspace.value().span())) {
    return state.SkipWithError("differs from the reference");
  }
  double best = 1e30;
  size_t turn = 0;
  const size_t group =
      c.n_tokens >= 8 ? 1 : std::min<size_t>(n_copies, 20);  // reading the clock at each call would distort the figure
  for (auto _ : state) {
    const double start = seconds_now(n_threads);
    for (size_t i = 0; i < group; ++i) {
      w.data = copies.data() + turn++ % n_copies * bytes.size();
      cpu::matmul(isa, w, x_view, {}, false, {y.data(), c.n_tokens, c.rows}, pool, workspace.value().span());
    }
    const double s = (seconds_now(n_threads) - start) / double(group);
    state.SetIterationTime(s);
    best = std::min(best, s);
  }
  const double ops = 2.0 * double(c.rows) * double(c.cols) * double(c.n_tokens) / best / n_threads;
  const double read = double(bytes.size()) / best / n_threads;
  const bool is_float = geometry(c.type).block_elems == 1;
  const double peak = is_float ? peaks.fp32 : peaks.int8;
  state.counters["best_us"] = best * 1e6;
  state.counters["gops"] = ops / 1e9;
  if (peak > 0) state.counters["share"] = ops / peak;
  state.counters["gbs"] = read / 1e9;
  if (peaks.read > 0) state.counters["of_read"] = read / peaks.read;
}

std::vector<Case> cases(bool tiny) {
  std::vector<Case> all;
  for (int i = 0; i < int(QuantType::kCount); ++i) {
    const QuantType type = QuantType(i);
    if (tiny) {
      for (int64_t n_tokens : {1, 9}) all.push_back({type, 512, 33, n_tokens});
      continue;
    }
    for (int64_t n_tokens : {1, 4, 8, 32, 128, 512, 4096}) all.push_back({type, 1536, 8960, n_tokens});
  }
  if (tiny) return all;
  for (int64_t n_tokens : {1, 512, 4096}) {
    all.push_back({QuantType::kQ5_0, 896, 4864, n_tokens});  // qwen2.5-coder-0.5b
    all.push_back({QuantType::kQ5_0, 896, 896, n_tokens});
    all.push_back({QuantType::kQ5_0, 896, 128, n_tokens});
    all.push_back({QuantType::kQ4_K, 4864, 896, n_tokens});
    all.push_back({QuantType::kQ6_K, 4864, 896, n_tokens});
    all.push_back({QuantType::kQ4_1, 576, 1536, n_tokens});  // smollm2-135m
    all.push_back({QuantType::kQ4_1, 1536, 576, n_tokens});
    all.push_back({QuantType::kQ4_K, 8960, 1536, n_tokens});  // qwen2.5-coder-1.5b
    all.push_back({QuantType::kQ6_K, 8960, 1536, n_tokens});
  }
  all.push_back({QuantType::kQ8_0, 896, 151936, 1});  // qwen2.5-coder-0.5b's output
  return all;
}

void add_cases(bool tiny, int n_threads) {
  const double read = tiny ? 0 : peak_read_bytes();
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
    if (!isa_supported(isa)) continue;
    const Peaks peaks{peak_int8_ops(isa), peak_fp32_ops(isa), read};
    fmt::print("{}: int8 {:.0f} GOP/s, fp32 {:.0f} GFLOP/s, read {:.1f} GB/s, one thread\n", name(isa),
               peaks.int8 / 1e9, peaks.fp32 / 1e9, read / 1e9);
    for (const Case& c : cases(tiny)) {
      const std::string label =
          fmt::format("matmul/{}/{}/{}x{}/{}", geometry(c.type).name, name(isa), c.cols, c.rows, c.n_tokens);
      auto* b = benchmark::RegisterBenchmark(
          label.c_str(), [=](benchmark::State& state) { run_case(state, isa, c, n_threads, peaks); });
      b->UseManualTime()->Unit(benchmark::kMicrosecond);
      if (tiny) b->Iterations(1);
    }
  }
}

}  // namespace
}  // namespace reform::bench

int main(int argc, char** argv) { return reform::bench::bench_main(argc, argv, reform::bench::add_cases); }
