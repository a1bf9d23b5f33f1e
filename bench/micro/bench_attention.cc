// Attention on the shapes of real models. Case names: attention|column_sums/ISA/DIM/HEADSxKVHEADS/TOKENS@KVLEN.
//
// gflops (two products a query, key and dimension; one for column sums) and gbs (the cache read once) are of the best
// iteration, per thread; share is gflops over the machine's measured FP32 peak, of_bf16 over what a plain loop of
// vdpbf16ps (amx: tdpbf16ps, of which a product takes three) reaches. Options beside Google Benchmark's: --tiny (smoke
// run), --threads=N.
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

namespace reform::bench {
namespace {

struct Case {
  int64_t n_tokens, kv_len, n_heads, n_kv_heads, head_dim;
  bool unrotated = false;
  int64_t window = 0;
};

struct Peaks {
  double fp32 = 0, bf16 = 0;
};

// A call's data. F16 cache, as the engine keeps it.
struct Problem {
  Case c;
  std::vector<float> q, out, lse, inv_freq;
  std::vector<uint16_t> k, v;
  Rope rope;
  AttentionArgs args;

  explicit Problem(const Case& shape) : c(shape) {
    std::minstd_rand random(1);
    const auto fill = [&](std::vector<float>& x, int64_t n) {
      x.resize(size_t(n));
      for (float& value : x) value = float(int(random() % 2001) - 1000) * 1e-3f;
    };
    const int64_t kv_cols = c.n_kv_heads * c.head_dim;
    std::vector<float> keys, values;
    fill(q, c.n_tokens * c.n_heads * c.head_dim), fill(keys, c.kv_len * kv_cols), fill(values, c.kv_len * kv_cols);
    out.resize(q.size()), lse.resize(size_t(c.n_heads * c.n_tokens)), k.resize(keys.size()), v.resize(keys.size());
    const KvView kv = {KvView::Type::kF16, k.data(), v.data(), c.n_kv_heads, c.head_dim, c.kv_len, c.kv_len};
    make_reference_ops()->store_kv({keys.data(), c.kv_len, kv_cols}, {values.data(), c.kv_len, kv_cols}, 0, kv);
    for (int64_t i = 0; i < c.head_dim / 2; ++i) {
      inv_freq.push_back(float(std::pow(1e6, -2.0 * double(i) / double(c.head_dim))));
    }
    rope.inv_freq = inv_freq;
    args = {{q.data(), c.n_tokens, c.n_heads * c.head_dim},
            kv,
            c.unrotated ? &rope : nullptr,
            float(1 / std::sqrt(double(c.head_dim))),
            c.window};
  }
  MatView<float> out_view() { return {out.data(), c.n_tokens, c.n_heads * c.head_dim}; }
  MatView<float> lse_view() { return {lse.data(), c.n_heads, c.n_tokens}; }

  // Products of queries with the keys that they attend to, in multiply-adds.
  double products() const {
    double pairs = 0;
    for (int64_t t = 0; t < c.n_tokens; ++t) {
      const int64_t end = c.kv_len - c.n_tokens + t + 1;
      pairs += double(c.window > 0 ? std::min(end, c.window) : end);
    }
    return pairs * double(c.n_heads * c.head_dim);
  }
};

// Compares the last rows with the reference (all rows would take minutes).
bool agrees_with_reference(Ops& ops, Problem& p) {
  ops.attention(p.args, p.out_view(), p.lse_view());
  const int64_t n = std::min<int64_t>(p.c.n_tokens, 2), first = p.c.n_tokens - n;
  AttentionArgs last = p.args;
  last.q = p.args.q.row_range(first, p.c.n_tokens);
  std::vector<float> want(size_t(n * p.args.q.cols));
  make_reference_ops()->attention(last, {want.data(), n, p.args.q.cols}, {});
  const float* got = p.out_view().row(first);
  double gw = 0, gg = 0, ww = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    gw += double(got[i]) * want[i], gg += double(got[i]) * got[i], ww += double(want[i]) * want[i];
  }
  return gw / std::sqrt(gg * ww) > 0.999999;
}

void run_case(benchmark::State& state, bool column_sums, Isa isa, const Case& c, int n_threads, const Peaks& peaks) {
  ThreadPool pool(n_threads);
  Problem p(c);
  const OpLimits limits = {c.n_tokens, 64, c.kv_len, c.n_heads, c.n_kv_heads, c.head_dim};
  MemoryAccount account;
  auto workspace =
      Buffer<std::byte>::create(account, MemoryCategory::kWorkspace, cpu_workspace_bytes(isa, limits, n_threads));
  if (!workspace.ok()) return state.SkipWithError(workspace.status().message.c_str());
  const auto ops = make_cpu_ops(isa, limits, pool, workspace.value().span());
  if (!agrees_with_reference(*ops, p)) return state.SkipWithError("differs from the reference");
  std::vector<int32_t> rows(static_cast<size_t>(c.n_tokens));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = int32_t(i);
  const std::vector<float> weights(rows.size(), 1.0f);
  std::vector<float> sums(static_cast<size_t>(c.kv_len));
  double best = 1e30;
  for (auto _ : state) {
    const double start = seconds_now(n_threads);
    if (column_sums) {
      ops->attention_column_sums(p.args, p.lse_view(), rows, weights, sums);
    } else {
      ops->attention(p.args, p.out_view(), p.lse_view());
    }
    const double s = seconds_now(n_threads) - start;
    state.SetIterationTime(s);
    best = std::min(best, s);
  }
  const double flops = p.products() * (column_sums ? 2 : 4) / best / n_threads;
  state.counters["best_us"] = best * 1e6;
  state.counters["gflops"] = flops / 1e9;
  if (peaks.fp32 > 0) state.counters["share"] = flops / peaks.fp32;
  if (peaks.bf16 > 0) state.counters["of_bf16"] = flops / peaks.bf16;
  const double cache_bytes = double(c.kv_len * c.n_kv_heads * c.head_dim) * (column_sums ? 2 : 4);
  state.counters["gbs"] = cache_bytes / best / 1e9 / n_threads;
}

std::vector<Case> cases(bool tiny) {
  if (tiny) return {{9, 70, 4, 2, 64, true}, {1, 70, 4, 2, 64}};
  return {
      {4096, 8192, 2, 1, 64},               // long prompts: one KV head's share of qwen2.5-0.5b's work
      {4096, 8192, 2, 1, 64, true},         // ingest: keys rotated during the call
      {4096, 8192, 3, 1, 64, true},         // smollm2's
      {4096, 8192, 7, 1, 64, true},         // qwen2.5-coder-0.5b's
      {1024, 4096, 3, 1, 64},               // smollm2
      {1024, 4096, 6, 1, 128, true},        // qwen2.5-1.5b
      {1024, 4096, 4, 1, 256, false, 512},  // gemma3's local layers
      {1024, 4096, 1, 1, 80},
      {16, 4096, 14, 2, 64, true},  // a question after the stored cache
      {1, 2560, 14, 2, 64},         // decode
      {1, 8192, 14, 2, 64},
      {1, 8192, 32, 8, 128},
  };
}

void add_cases(bool tiny, int n_threads) {
  for (Isa isa : kIsas) {
    if (isa == Isa::kRef || !isa_supported(isa)) continue;
    const double bf16 = isa == Isa::kAmx ? peak_amx_ops() : isa == Isa::kAvx512 ? peak_bf16_ops() : 0;
    const Peaks peaks{peak_fp32_ops(isa), bf16};
    fmt::print("{}: fp32 {:.0f} GFLOP/s, bf16 {:.0f} GFLOP/s, one thread\n", name(isa), peaks.fp32 / 1e9,
               peaks.bf16 / 1e9);
    for (bool column_sums : {false, true}) {
      for (const Case& c : cases(tiny)) {
        const std::string label =
            fmt::format("{}/{}/{}/{}x{}/{}@{}{}{}", column_sums ? "column_sums" : "attention", name(isa), c.head_dim,
                        c.n_heads, c.n_kv_heads, c.n_tokens, c.kv_len, c.unrotated ? "/unrotated" : "",
                        c.window > 0 ? fmt::format("/window{}", c.window) : "");
        auto* b = benchmark::RegisterBenchmark(
            label.c_str(), [=](benchmark::State& state) { run_case(state, column_sums, isa, c, n_threads, peaks); });
        b->UseManualTime()->Unit(benchmark::kMicrosecond);
        if (tiny) b->Iterations(1);
      }
    }
  }
}

}  // namespace
}  // namespace reform::bench

int main(int argc, char** argv) { return reform::bench::bench_main(argc, argv, reform::bench::add_cases); }
