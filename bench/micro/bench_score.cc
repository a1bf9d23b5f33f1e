// Scoring stored INT8 embeddings. Case names: score/ISA/HEADSxDIM/QUERIES.
//
// gmacs (multiply-adds) and gbs (stored bytes read) are of the best iteration, per thread; share is over the machine's
// measured INT8 peak. Options beside Google Benchmark's: --tiny (smoke run), --threads=N.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <vector>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "bench/micro/bench_main.h"
#include "bench/micro/machine_peak.h"

namespace reform::bench {
namespace {

struct Rows {
  std::vector<int8_t> values;
  std::vector<float> scales;
  EmbeddingRows view;

  Rows(int64_t n_rows, int64_t n_heads, int64_t head_dim)
      : values(size_t(n_rows * n_heads * head_dim)), scales(size_t(n_rows * n_heads), 0.001f) {
    std::minstd_rand random(1);
    for (int8_t& v : values) v = int8_t(int(random() % 255) - 127);
    view = {values.data(), scales.data(), n_rows, n_heads, head_dim};
  }
};

void run_case(benchmark::State& state, Isa isa, int64_t head_dim, int64_t n_query, int64_t n_rows, int n_threads,
              double int8_peak) {
  constexpr int64_t kHeads = 4;
  ThreadPool pool(n_threads);
  const OpLimits limits = {64, 64, 64, kHeads, kHeads, head_dim};
  MemoryAccount account;
  auto workspace =
      Buffer<std::byte>::create(account, MemoryCategory::kWorkspace, cpu_workspace_bytes(isa, limits, n_threads));
  if (!workspace.ok()) return state.SkipWithError(workspace.status().message.c_str());
  const auto ops = make_cpu_ops(isa, limits, pool, workspace.value().span());
  const Rows stored(n_rows, kHeads, head_dim), query(n_query, kHeads, head_dim);
  std::vector<float> scores(static_cast<size_t>(n_rows)), want(10);
  EmbeddingRows first_rows = stored.view;
  first_rows.n_rows = 10;
  make_reference_ops()->score(first_rows, query.view, want);
  double best = 1e30;
  for (auto _ : state) {
    const double start = seconds_now(n_threads);
    ops->score(stored.view, query.view, scores);
    const double s = seconds_now(n_threads) - start;
    state.SetIterationTime(s);
    best = std::min(best, s);
  }
  for (size_t i = 0; i < want.size(); ++i) {
    if (!(std::abs(scores[i] - want[i]) <= 1e-5f)) return state.SkipWithError("differs from the reference");
  }
  const double macs = double(n_rows * n_query * kHeads * head_dim) / best / n_threads;
  state.counters["best_us"] = best * 1e6;
  state.counters["gmacs"] = macs / 1e9;
  if (int8_peak > 0) state.counters["share"] = 2 * macs / int8_peak;
  state.counters["gbs"] = double(n_rows * kHeads * head_dim) / best / 1e9 / n_threads;
}

void add_cases(bool tiny, int n_threads) {
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
    if (!isa_supported(isa)) continue;
    const double peak = peak_int8_ops(isa);
    for (int64_t head_dim : {64, 128}) {
      for (int64_t n_query : {8, 16, 32}) {
        auto* b = benchmark::RegisterBenchmark(
            fmt::format("score/{}/4x{}/{}", name(isa), head_dim, n_query).c_str(), [=](benchmark::State& state) {
              run_case(state, isa, head_dim, n_query, tiny ? 100 : 100'000, n_threads, peak);
            });
        b->UseManualTime()->Unit(benchmark::kMicrosecond);
        if (tiny) b->Iterations(1);
      }
    }
  }
}

}  // namespace
}  // namespace reform::bench

int main(int argc, char** argv) { return reform::bench::bench_main(argc, argv, reform::bench::add_cases); }
