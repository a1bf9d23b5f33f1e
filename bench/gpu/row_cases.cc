// Ops bound by memory, at 4,096 rows of Mistral-NeMo-12B and an index of four heads of 128: bytes read and written.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/float16.h"
#include "bench/gpu/gpu_bench.h"

namespace reform::bench {
namespace {

struct Sizes {
  int64_t tokens, d_model, d_ff, n_heads, n_kv_heads, head_dim, cache, index_rows, queries;
};
constexpr Sizes kFull = {4096, 5120, 14336, 32, 8, 128, 16384, 262'144, 32};
constexpr Sizes kTiny = {33, 192, 320, 4, 2, 64, 70, 129, 5};
constexpr int64_t kIndexHeads = 4;

OpLimits limits_of(const Sizes& s) { return {s.tokens, s.d_ff, s.cache, s.n_heads, s.n_kv_heads, s.head_dim}; }

Result<Measured> run_rms_norm(GpuBench& bench, const Sizes& s) {
  const int64_t n = s.tokens * s.d_model;
  const std::vector<float> x = random_floats(n, 1), weight = random_floats(s.d_model, 2);
  TRY_ASSIGN(const Array<float> x_there, bench.put(x));
  TRY_ASSIGN(const Array<float> weight_there, bench.put(weight));
  TRY_ASSIGN(Array<float> out, bench.array<float>(n));
  TRY_ASSIGN(const BenchOps ops, bench.ops(limits_of(s)));
  const auto call = [&] {
    ops->rms_norm({x_there.data(), s.tokens, s.d_model}, weight_there.span(), 1e-5f, {out.data(), s.tokens, s.d_model});
  };
  call();
  const float* last = x.data() + n - s.d_model;
  double squares = 0;
  for (int64_t i = 0; i < s.d_model; ++i) squares += double(last[i]) * last[i];
  std::vector<double> want;
  for (int64_t i = 0; i < s.d_model; ++i) {
    want.push_back(last[i] / std::sqrt(squares / double(s.d_model) + 1e-5) * weight[size_t(i)]);
  }
  Measured m{.work = 8.0 * double(n), .allowed = 1e-5};
  TRY_ASSIGN(const std::vector<float> got, bench.get(out.data() + n - s.d_model, s.d_model));
  m.error = relative_error(got, want);
  TRY_ASSIGN(m.timing, bench.time(out.data(), call));
  return m;
}

Result<Measured> run_gated_activation(GpuBench& bench, const Sizes& s) {
  const int64_t n = s.tokens * s.d_ff;
  const std::vector<float> gate = random_floats(n, 1), up = random_floats(n, 2);
  TRY_ASSIGN(Array<float> gate_there, bench.put(gate));
  TRY_ASSIGN(const Array<float> up_there, bench.put(up));
  TRY_ASSIGN(const BenchOps ops, bench.ops(limits_of(s)));
  const auto call = [&] {
    ops->gated_activation(Activation::kSilu, {gate_there.data(), s.tokens, s.d_ff},
                          {up_there.data(), s.tokens, s.d_ff});
  };
  call();
  std::vector<double> want;
  for (int64_t i = n - s.d_ff; i < n; ++i) {
    const double g = gate[size_t(i)];
    want.push_back(g / (1 + std::exp(-g)) * up[size_t(i)]);
  }
  Measured m{.work = 12.0 * double(n), .allowed = 1e-5};
  TRY_ASSIGN(const std::vector<float> got, bench.get(gate_there.data() + n - s.d_ff, s.d_ff));
  m.error = relative_error(got, want);
  TRY_ASSIGN(m.timing, bench.time(gate_there.data(), call));
  return m;
}

// Draws a token with the command's default filters, from as many logits as the index has rows. Work: reading them once.
Result<Measured> run_draw(GpuBench& bench, const Sizes& s) {
  std::vector<float> logits = random_floats(s.index_rows, 1);
  for (float& logit : logits) logit *= 4;
  TRY_ASSIGN(const Array<float> logits_there, bench.put(logits));
  TRY_ASSIGN(Array<int32_t> id, bench.array<int32_t>(1));
  TRY_ASSIGN(const BenchOps ops, bench.ops(limits_of(s)));
  const std::span<const float> there(logits_there.data(), logits.size());
  const Draw draw{.top_k = 40, .top_p = 0.95, .min_p = 0.05, .temperature = 0.8, .uniform = 0.4};
  const auto call = [&] { ops->draw(there, draw, id.data()); };
  call();
  int32_t want = 0;
  make_reference_ops()->draw(logits, draw, &want);
  Measured m{.work = 4.0 * double(s.index_rows), .allowed = 0};
  TRY_ASSIGN(const std::vector<int32_t> got, bench.get(id.data(), 1));
  m.error = got[0] == want ? 0 : 1;
  TRY_ASSIGN(m.timing, bench.time(id.data(), call));
  return m;
}

// H2O's choice: half of a cache of random scores stays. Work: reading the scores once.
Result<Measured> run_choose(GpuBench& bench, const Sizes& s) {
  const std::vector<float> scores = random_floats(s.cache, 1);
  TRY_ASSIGN(const Array<float> scores_there, bench.put(scores));
  const KeptSlots kept{4, s.cache / 4 - 4, s.cache / 4};
  std::vector<int32_t> want(size_t(kept.total()));
  TRY_ASSIGN(Array<int32_t> keep, bench.array<int32_t>(kept.total()));
  TRY_ASSIGN(const BenchOps ops, bench.ops(limits_of(s)));
  const std::span<const float> there(scores_there.data(), scores.size());
  const auto call = [&] { ops->choose_slots(kept, s.cache, there, keep.span()); };
  call();
  make_reference_ops()->choose_slots(kept, s.cache, scores, want);
  Measured m{.work = 4.0 * double(s.cache), .allowed = 0};
  TRY_ASSIGN(const std::vector<int32_t> got, bench.get(keep.data(), kept.total()));
  m.error = relative_error({got.begin(), got.end()}, {want.begin(), want.end()});
  TRY_ASSIGN(m.timing, bench.time(keep.data(), call));
  return m;
}

// Every second slot stays. Later calls work on what the first one left: the same bytes move each time.
Result<Measured> run_compact(GpuBench& bench, const Sizes& s) {
  const int64_t width = s.n_kv_heads * s.head_dim;
  std::vector<float> rows = random_floats(s.cache * width, 1);
  TRY_ASSIGN(const Array<float> rows_there, bench.put(rows));
  TRY_ASSIGN(Array<uint16_t> k, bench.array<uint16_t>(s.cache * width));
  TRY_ASSIGN(Array<uint16_t> v, bench.array<uint16_t>(s.cache * width));
  OpLimits limits = limits_of(s);
  limits.max_tokens = s.cache;
  TRY_ASSIGN(const BenchOps ops, bench.ops(limits));
  const KvView kv{KvView::Type::kF16, k.data(), v.data(), s.n_kv_heads, s.head_dim, s.cache, s.cache};
  const MatView<const float> view(rows_there.data(), s.cache, width);
  ops->store_kv(view, view, 0, kv);
  std::vector<int32_t> keep;
  for (int64_t slot = 1; slot < s.cache; slot += 2) keep.push_back(int32_t(slot));
  TRY_ASSIGN(const Array<int32_t> keep_there, bench.put(keep));
  const std::span<const int32_t> there(keep_there.data(), keep.size());
  const auto call = [&] { ops->compact_kv(kv, there); };
  call();
  const int64_t last = int64_t(keep.size()) - 1, head = s.n_kv_heads - 1;
  TRY_ASSIGN(const std::vector<uint16_t> moved, bench.get(v.data() + (head * s.cache + last) * s.head_dim, s.head_dim));
  std::vector<float> got;
  std::vector<double> want;
  for (int64_t i = 0; i < s.head_dim; ++i) {
    got.push_back(f16_to_f32(moved[size_t(i)]));
    want.push_back(rows[size_t(keep.back() * width + head * s.head_dim + i)]);
  }
  Measured m{.work = 2.0 * 2.0 * 2.0 * double(keep.size()) * double(width), .allowed = 1e-3};  // F16
  m.error = relative_error(got, want);
  TRY_ASSIGN(m.timing, bench.time(k.data(), call));
  return m;
}

Result<Measured> run_store_kv(GpuBench& bench, const Sizes& s) {
  const int64_t width = s.n_kv_heads * s.head_dim;
  const std::vector<float> rows = random_floats(s.tokens * width, 1);
  TRY_ASSIGN(const Array<float> rows_there, bench.put(rows));
  TRY_ASSIGN(Array<uint16_t> k, bench.array<uint16_t>(s.cache * width));
  TRY_ASSIGN(Array<uint16_t> v, bench.array<uint16_t>(s.cache * width));
  TRY_ASSIGN(const BenchOps ops, bench.ops(limits_of(s)));
  const int64_t first = s.cache - s.tokens;
  const KvView kv{KvView::Type::kF16, k.data(), v.data(), s.n_kv_heads, s.head_dim, s.cache, s.cache};
  const MatView<const float> view(rows_there.data(), s.tokens, width);
  const auto call = [&] { ops->store_kv(view, view, first, kv); };
  call();
  const int64_t end = s.n_kv_heads * s.cache * s.head_dim;
  TRY_ASSIGN(const std::vector<uint16_t> stored, bench.get(v.data() + end - s.head_dim, s.head_dim));
  std::vector<float> got;
  for (const uint16_t half : stored) got.push_back(f16_to_f32(half));
  Measured m{.work = 2.0 * 6.0 * double(s.tokens * width), .allowed = 1e-3};
  m.error = relative_error(got, {rows.end() - s.head_dim, rows.end()});
  TRY_ASSIGN(m.timing, bench.time(k.data(), call));
  return m;
}

struct Index {
  std::vector<int8_t> values;
  std::vector<float> scales;
  Array<int8_t> values_there;
  Array<float> scales_there;

  Status make(GpuBench& bench, int64_t n_rows, int64_t head_dim, uint32_t seed) {
    std::minstd_rand random(seed);
    values.resize(size_t(n_rows * kIndexHeads * head_dim)), scales.resize(size_t(n_rows * kIndexHeads));
    for (int8_t& v : values) v = int8_t(int(random() % 255) - 127);
    for (float& v : scales) v = float(random() % 1000 + 500) * 1e-6f;
    TRY_ASSIGN(values_there, bench.put(values));
    TRY_ASSIGN(scales_there, bench.put(scales));
    return {};
  }
  EmbeddingRows here(int64_t first, int64_t n_rows, int64_t head_dim) const {
    return {values.data() + first * kIndexHeads * head_dim, scales.data() + first * kIndexHeads, n_rows, kIndexHeads,
            head_dim};
  }
};

Result<Measured> run_score(GpuBench& bench, const Sizes& s) {
  Index stored, query;
  TRY(stored.make(bench, s.index_rows, s.head_dim, 1));
  TRY(query.make(bench, s.queries, s.head_dim, 2));
  TRY_ASSIGN(Array<float> scores, bench.array<float>(s.index_rows));
  TRY_ASSIGN(const BenchOps ops, bench.ops({s.tokens, s.d_ff, s.cache, kIndexHeads, kIndexHeads, s.head_dim}));
  const EmbeddingRows rows{stored.values_there.data(), stored.scales_there.data(), s.index_rows, kIndexHeads,
                           s.head_dim};
  const EmbeddingRows asked{query.values_there.data(), query.scales_there.data(), s.queries, kIndexHeads, s.head_dim};
  const auto call = [&] { ops->score(rows, asked, scores.span()); };
  call();
  const int64_t n = std::min<int64_t>(s.index_rows, 64), first = s.index_rows - n;
  std::vector<float> want(static_cast<size_t>(n));
  make_reference_ops()->score(stored.here(first, n, s.head_dim), query.here(0, s.queries, s.head_dim), want);
  Measured m{.work = double(s.index_rows * kIndexHeads) * double(s.head_dim + 4), .allowed = 1e-4};
  TRY_ASSIGN(const std::vector<float> got, bench.get(scores.data() + first, n));
  m.error = relative_error(got, {want.begin(), want.end()});
  TRY_ASSIGN(m.timing, bench.time(scores.data(), call));
  return m;
}

}  // namespace

std::vector<Case> row_cases(bool tiny) {
  const Sizes& s = tiny ? kTiny : kFull;
  const auto make = [&](std::string name, Result<Measured> (*run)(GpuBench&, const Sizes&)) {
    return Case{std::move(name), "GB/s", 0, [run, &s](GpuBench& bench) { return run(bench, s); }};
  };
  return {make(fmt::format("rms_norm/{}x{}", s.tokens, s.d_model), run_rms_norm),
          make(fmt::format("gated_activation/{}x{}", s.tokens, s.d_ff), run_gated_activation),
          make(fmt::format("store_kv/{}x{}x{}", s.tokens, s.n_kv_heads, s.head_dim), run_store_kv),
          make(fmt::format("draw/{}", s.index_rows), run_draw),
          make(fmt::format("choose_slots/{}", s.cache), run_choose),
          make(fmt::format("compact_kv/{}x{}x{}", s.cache, s.n_kv_heads, s.head_dim), run_compact),
          make(fmt::format("score/{}x{}/{}", kIndexHeads, s.head_dim, s.queries), run_score)};
}

}  // namespace reform::bench
