// Attention and H2O's column sums at the heads of Mistral-NeMo-12B (32 of 128, 8 for keys and values), keys rotated
// during the call as in phase 1, and before it as in recompute. F16 cache.
//
// Operations: two products per query, key and dimension for each pair that the causal mask allows; the column sums need
// one of the two, over all queries or every eighth.
#include <fmt/format.h>

#include <cmath>

#include "bench/gpu/gpu_bench.h"

namespace reform::bench {
namespace {

struct Shape {
  int64_t n_tokens, kv_len;
  bool unrotated;
  int64_t n_heads = 32, n_kv_heads = 8, head_dim = 128;
  double pairs() const { return double(n_tokens) * (double(kv_len) - double(n_tokens - 1) / 2); }
  double head_ops() const { return 2.0 * pairs() * double(n_heads) * double(head_dim); }
};
// Probabilities and values are rounded to half or BF16 precision (2^-9), queries and rotated keys too; a wrong mask,
// head or rotation is off by more than a tenth.
constexpr double kAllowed = 0.02;

struct Problem {
  Shape s;
  std::vector<float> q, inv_freq, keys, values;
  Rope rope;
  Array<float> q_there, out, lse;
  Array<uint16_t> k, v;
  AttentionArgs args;

  explicit Problem(const Shape& shape) : s(shape) {
    q = random_floats(s.n_tokens * s.n_heads * s.head_dim, 3);
    keys = random_floats(s.kv_len * s.n_kv_heads * s.head_dim, 5);
    values = random_floats(s.kv_len * s.n_kv_heads * s.head_dim, 7);
    for (int64_t i = 0; i < s.head_dim / 2; ++i) {
      inv_freq.push_back(float(std::pow(1e6, -2.0 * double(i) / double(s.head_dim))));
    }
    rope.inv_freq = inv_freq;
  }
  int64_t kv_cols() const { return s.n_kv_heads * s.head_dim; }
  MatView<float> out_view() { return {out.data(), s.n_tokens, s.n_heads * s.head_dim}; }
  MatView<float> lse_view() { return {lse.data(), s.n_heads, s.n_tokens}; }
  KvView view(void* k_data, void* v_data) const {
    return {KvView::Type::kF16, k_data, v_data, s.n_kv_heads, s.head_dim, s.kv_len, s.kv_len};
  }
  AttentionArgs arguments(const float* q_data, const KvView& kv) const {
    return {{q_data, s.n_tokens, s.n_heads * s.head_dim},
            kv,
            s.unrotated ? &rope : nullptr,
            float(4 / std::sqrt(double(s.head_dim))),  // peaked enough that a wrong key shows
            0};
  }

  // Fills the cache through the device's own store_kv.
  Status upload(GpuBench& bench, const BenchOps& ops) {
    TRY_ASSIGN(q_there, bench.put(q));
    TRY_ASSIGN(out, bench.array<float>(int64_t(q.size())));
    TRY_ASSIGN(lse, bench.array<float>(s.n_heads * s.n_tokens));
    TRY_ASSIGN(k, bench.array<uint16_t>(int64_t(keys.size())));
    TRY_ASSIGN(v, bench.array<uint16_t>(int64_t(values.size())));
    TRY_ASSIGN(const Array<float> new_keys, bench.put(keys));
    TRY_ASSIGN(const Array<float> new_values, bench.put(values));
    args = arguments(q_there.data(), view(k.data(), v.data()));
    for (int64_t at = 0; at < s.kv_len; at += s.n_tokens) {  // no call has more rows than the limits say
      const int64_t n = std::min(s.n_tokens, s.kv_len - at);
      ops->store_kv({new_keys.data() + at * kv_cols(), n, kv_cols()},
                    {new_values.data() + at * kv_cols(), n, kv_cols()}, at, args.kv);
    }
    return bench.get(lse.data(), 1).status();
  }
};

Result<BenchOps> make_ops(GpuBench& bench, const Shape& s) {
  return bench.ops({s.n_tokens, s.n_heads * s.head_dim, s.kv_len, s.n_heads, s.n_kv_heads, s.head_dim});
}

// The last row by the reference (all rows would take minutes): its output, and what it adds to each slot.
struct LastRow {
  std::vector<float> out, sums;
};
LastRow reference_last_row(const Problem& p) {
  const auto reference = make_reference_ops();
  std::vector<uint16_t> k(p.keys.size()), v(p.values.size());
  std::vector<float> keys = p.keys, values = p.values, lse(size_t(p.s.n_heads));
  const KvView kv = p.view(k.data(), v.data());
  reference->store_kv({keys.data(), p.s.kv_len, p.kv_cols()}, {values.data(), p.s.kv_len, p.kv_cols()}, 0, kv);
  AttentionArgs last = p.arguments(p.q.data(), kv);
  last.q = last.q.row_range(p.s.n_tokens - 1, p.s.n_tokens);
  LastRow row{std::vector<float>(size_t(last.q.cols)), std::vector<float>(size_t(p.s.kv_len))};
  const MatView<float> lse_view(lse.data(), p.s.n_heads, 1);
  const int32_t first = 0;
  const float one = 1;
  reference->attention(last, {row.out.data(), 1, last.q.cols}, lse_view);
  reference->attention_column_sums(last, lse_view, {&first, 1}, {&one, 1}, row.sums);
  return row;
}

Result<Measured> run_attention(GpuBench& bench, const Shape& s) {
  Problem p(s);
  TRY_ASSIGN(const BenchOps ops, make_ops(bench, s));
  TRY(p.upload(bench, ops));
  const auto call = [&] { ops->attention(p.args, p.out_view(), p.lse_view()); };
  call();
  const std::vector<float> want = reference_last_row(p).out;
  TRY_ASSIGN(const std::vector<float> got, bench.get(p.out_view().row(s.n_tokens - 1), int64_t(want.size())));
  Measured m{.work = 2 * s.head_ops(), .allowed = kAllowed};
  m.error = relative_error(got, {want.begin(), want.end()});
  TRY_ASSIGN(m.timing, bench.time(p.out.data(), call));
  return m;
}

Result<Measured> run_column_sums(GpuBench& bench, const Shape& s, int64_t every) {
  Problem p(s);
  TRY_ASSIGN(const BenchOps ops, make_ops(bench, s));
  TRY(p.upload(bench, ops));
  ops->attention(p.args, p.out_view(), p.lse_view());
  TRY_ASSIGN(Array<float> sums, bench.array<float>(s.kv_len));
  const auto add = [&](const std::vector<int32_t>& rows, const std::vector<float>& weights) {
    ops->attention_column_sums(p.args, p.lse_view(), rows, weights, sums.span());
  };
  add({int32_t(s.n_tokens - 1)}, {1.0f});
  const std::vector<float> want = reference_last_row(p).sums;
  TRY_ASSIGN(const std::vector<float> got, bench.get(sums.data(), s.kv_len));
  Measured m{.work = s.head_ops() / double(every), .allowed = kAllowed};
  m.error = relative_error(got, {want.begin(), want.end()});
  std::vector<int32_t> rows;
  for (int64_t t = every - 1; t < s.n_tokens; t += every) rows.push_back(int32_t(t));
  const std::vector<float> weights(rows.size(), float(every));
  TRY_ASSIGN(m.timing, bench.time(p.out.data(), [&] { add(rows, weights); }));
  return m;
}

// One row, as in decode: bound by reading the cache.
Result<Measured> run_decode(GpuBench& bench, const Shape& s) {
  TRY_ASSIGN(Measured m, run_attention(bench, s));
  m.work = 2.0 * 2.0 * double(s.kv_len * s.n_kv_heads * s.head_dim);
  return m;
}

}  // namespace

std::vector<Case> attention_cases(bool tiny) {
  std::vector<Case> cases;
  const auto name = [](const char* op, const Shape& s) {
    return fmt::format("{}/{}x{}x{}/{}@{}{}", op, s.n_heads, s.n_kv_heads, s.head_dim, s.n_tokens, s.kv_len,
                       s.unrotated ? "/unrotated" : "");
  };
  const std::vector<Shape> shapes =
      tiny ? std::vector<Shape>{{9, 70, true, 4, 2, 64}, {33, 33, false, 4, 2, 64}}
           : std::vector<Shape>{{8192, 16384, true}, {4096, 4096, true}, {8192, 16384, false}, {4096, 4096, false}};
  for (const Shape& s : shapes) {
    cases.push_back({name("attention", s), "TFLOP/s", 0, [=](GpuBench& b) { return run_attention(b, s); }});
  }
  for (const int64_t every : {1, 8}) {
    const Shape& s = shapes[0];
    cases.push_back({fmt::format("{}/every{}", name("column_sums", s), every), "TFLOP/s", 0,
                     [=](GpuBench& b) { return run_column_sums(b, s, every); }});
  }
  const Shape decode = tiny ? Shape{1, 77, false, 4, 2, 64} : Shape{1, 8736, false};
  cases.push_back({name("attention_decode", decode), "GB/s", 0, [=](GpuBench& b) { return run_decode(b, decode); }});
  return cases;
}

}  // namespace reform::bench
