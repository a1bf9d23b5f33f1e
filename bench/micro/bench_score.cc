// Scoring stored INT8 embeddings. Case names: score/ISA/HEADSxDIM/QUERIES and, by segments of 32 rows,
// best_cosines/ISA/HEADSxDIM/QUERIES.
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

struct Case {
  Isa isa;
  int64_t n_heads, head_dim, n_query, n_rows;
  int n_threads;
  double int8_peak;
};

// What one call of an op computes; reports a difference from the reference.
template <class Call, class Check>
void run_case(benchmark::State& state, const Case& c, Call call, Check check) {
  ThreadPool pool(c.n_threads);
  const OpLimits limits = {64, 64, 64, c.n_heads, c.n_heads, c.head_dim};
  MemoryAccount account;
  auto workspace =
      Buffer<std::byte>::create(account, MemoryCategory::kWorkspace, cpu_workspace_bytes(c.isa, limits, c.n_threads));
  if (!workspace.ok()) return state.SkipWithError(workspace.status().message.c_str());
  const auto ops = make_cpu_ops(c.isa, limits, pool, workspace.value().span());
  double best = 1e30;
  for (auto _ : state) {
    const double start = seconds_now(c.n_threads);
    call(*ops);
    const double s = seconds_now(c.n_threads) - start;
    state.SetIterationTime(s);
    best = std::min(best, s);
  }
  if (!check()) return state.SkipWithError("differs from the reference");
  const double macs = double(c.n_rows * c.n_query * c.n_heads * c.head_dim) / best / c.n_threads;
  state.counters["best_us"] = best * 1e6;
  state.counters["gmacs"] = macs / 1e9;
  if (c.int8_peak > 0) state.counters["share"] = 2 * macs / c.int8_peak;
  state.counters["gbs"] = double(c.n_rows * c.n_heads * c.head_dim) / best / 1e9 / c.n_threads;
}

// Whether the first results are the reference's.
bool agree(const std::vector<float>& got, const std::vector<float>& want) {
  return std::equal(want.begin(), want.end(), got.begin(), [](float w, float g) { return std::abs(g - w) <= 1e-5f; });
}

EmbeddingRows first_rows(const Rows& rows, int64_t n) {
  EmbeddingRows first = rows.view;
  first.n_rows = n;
  return first;
}

void run_score(benchmark::State& state, const Case& c) {
  const Rows stored(c.n_rows, c.n_heads, c.head_dim), query(c.n_query, c.n_heads, c.head_dim);
  std::vector<float> scores(static_cast<size_t>(c.n_rows)), want(10);
  make_reference_ops()->score(first_rows(stored, 10), query.view, want);
  run_case(
      state, c, [&](Ops& ops) { ops.score(stored.view, query.view, scores); }, [&] { return agree(scores, want); });
}

void run_best_cosines(benchmark::State& state, const Case& c) {
  constexpr int32_t kSegmentRows = 32;
  const Rows stored(c.n_rows, c.n_heads, c.head_dim), query(c.n_query, c.n_heads, c.head_dim);
  std::vector<int32_t> ends;
  for (int32_t end = kSegmentRows; end < c.n_rows; end += kSegmentRows) ends.push_back(end);
  ends.push_back(int32_t(c.n_rows));
  const size_t segment_floats = size_t(c.n_heads * c.n_query);
  std::vector<float> best(ends.size() * segment_floats), want(2 * segment_floats);
  make_reference_ops()->best_cosines(first_rows(stored, ends[1]), query.view, std::span(ends).first(2), want);
  run_case(
      state, c, [&](Ops& ops) { ops.best_cosines(stored.view, query.view, std::span(ends), best); },
      [&] { return agree(best, want); });
}

void add_case(const char* op, void (*run)(benchmark::State&, const Case&), const Case& c, bool tiny) {
  const std::string name = fmt::format("{}/{}/{}x{}/{}", op, reform::name(c.isa), c.n_heads, c.head_dim, c.n_query);
  auto* b = benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { run(state, c); });
  b->UseManualTime()->Unit(benchmark::kMicrosecond);
  if (tiny) b->Iterations(1);
}

void add_cases(bool tiny, int n_threads) {
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
    if (!isa_supported(isa)) continue;
    const double peak = peak_int8_ops(isa);
    for (int64_t head_dim : {64, 128}) {
      for (int64_t n_query : {8, 16, 32}) {
        add_case("score", run_score, {isa, 4, head_dim, n_query, tiny ? 100 : 100'000, n_threads, peak}, tiny);
      }
    }
    // An index of a million rows, which no cache holds.
    add_case("best_cosines", run_best_cosines, {isa, 8, 64, 16, tiny ? 100 : 1'000'000, n_threads, peak}, tiny);
  }
}

}  // namespace
}  // namespace reform::bench

int main(int argc, char** argv) { return reform::bench::bench_main(argc, argv, reform::bench::add_cases); }
