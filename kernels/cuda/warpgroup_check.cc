#include "kernels/cuda/warpgroup_check.h"

#include <cmath>
#include <optional>
#include <random>
#include <vector>

#include "base/float16.h"
#include "base/try.h"

namespace reform {
namespace {

// Both round probabilities to F16; they sum to one in a row and here to a third in a column. A wrong layout is off by
// as much as the values are.
constexpr double kAllowed = 0.02;

struct Problem {
  Problem(const WarpgroupTrial& trial, int64_t dim) : t(trial), head_dim(dim), random(uint32_t(dim)) {
    std::uniform_real_distribution<float> any(-1, 1);
    for (float& x : q) x = 4 * any(random);
    for (auto* side : {&k, &v}) {
      for (uint16_t& x : *side) x = f32_to_f16(any(random));
    }
    for (int32_t row = 0; row < t.n_tokens; row += 3) rows.push_back(row);
  }

  const WarpgroupTrial t;
  const int64_t head_dim;
  std::minstd_rand random;
  const OpLimits limits{t.n_tokens, t.n_heads* head_dim, t.n_keys, t.n_heads, 1, head_dim};
  std::vector<float> q = std::vector<float>(size_t(t.n_tokens * t.n_heads * head_dim));
  std::vector<uint16_t> k = std::vector<uint16_t>(size_t(t.n_keys * head_dim)), v = k;
  std::vector<int32_t> rows;  // the rows whose columns are summed
};

// The problem's arrays on the device. `out` and `lse` begin as NaN, so that what is not written shows.
struct Placed {
  std::byte *q, *k, *v, *out, *lse, *sums;
  std::span<std::byte> workspace;
};

Result<std::optional<Placed>> place(Device& device, const Problem& p, std::span<std::byte> memory) {
  constexpr size_t kAlign = 256;
  size_t used = 0;
  bool fits = true;
  const auto put = [&](const auto& values, std::byte*& there) -> Status {
    const size_t bytes = values.size() * sizeof(values[0]);
    fits = fits && used + bytes <= memory.size();
    if (!fits) return {};
    there = memory.data() + used;
    used = (used + bytes + kAlign - 1) / kAlign * kAlign;
    return device.to_device(there, values.data(), int64_t(bytes));
  };
  Placed to{};
  TRY(put(p.q, to.q));
  TRY(put(p.k, to.k));
  TRY(put(p.v, to.v));
  TRY(put(std::vector<float>(p.q.size(), NAN), to.out));
  TRY(put(std::vector<float>(size_t(p.t.n_tokens * p.t.n_heads), NAN), to.lse));
  TRY(put(std::vector<float>(size_t(p.t.n_keys), 0.0f), to.sums));
  const auto workspace_bytes = size_t(device.workspace_bytes(p.limits));
  if (!fits || used + workspace_bytes > memory.size()) return std::optional<Placed>();
  to.workspace = memory.subspan(used, workspace_bytes);
  return std::optional<Placed>(to);
}

// Attention's result, then the column sums. Empty if there is too little memory.
Result<std::vector<float>> run(Device& device, const Problem& p, std::span<std::byte> memory, const MakeAttention& make,
                               bool warpgroups) {
  TRY_ASSIGN(const auto at, place(device, p, memory));
  if (!at) return std::vector<float>();
  const int64_t cols = p.t.n_heads * p.head_dim;
  const AttentionArgs args{.q = {reinterpret_cast<const float*>(at->q), p.t.n_tokens, cols},
                           .kv = {KvView::Type::kF16, at->k, at->v, 1, p.head_dim, p.t.n_keys, p.t.n_keys},
                           .key_rope = nullptr,
                           .scale = float(1 / std::sqrt(double(p.head_dim))),
                           .window = 0};
  const auto ops = make(p.limits, at->workspace, warpgroups);
  const MatView<float> lse(reinterpret_cast<float*>(at->lse), p.t.n_heads, p.t.n_tokens);
  ops->attention(args, {reinterpret_cast<float*>(at->out), p.t.n_tokens, cols}, lse);
  const std::vector<float> weights(p.rows.size(), 1.0f);
  ops->attention_column_sums(args, lse, p.rows, weights, {reinterpret_cast<float*>(at->sums), size_t(p.t.n_keys)});
  std::vector<float> found(p.q.size() + size_t(p.t.n_keys));
  TRY(device.to_host(found.data(), at->out, int64_t(p.q.size() * sizeof(float))));
  TRY(device.to_host(found.data() + p.q.size(), at->sums, p.t.n_keys * int64_t(sizeof(float))));
  return found;
}

bool are_alike(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.empty() || a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(double(a[i]) - double(b[i])) <= kAllowed)) return false;
  }
  return true;
}

}  // namespace

Result<bool> attends_by_warpgroups(Device& device, std::span<std::byte> memory, const MakeAttention& make,
                                   const WarpgroupTrial& trial) {
  for (const int64_t head_dim : {64, 128, 256}) {
    const Problem problem(trial, head_dim);
    TRY_ASSIGN(const std::vector<float> by_warps, run(device, problem, memory, make, false));
    const auto by_warpgroups = run(device, problem, memory, make, true);
    if (!by_warpgroups.ok()) {
      // After a refused launch one copy fails; after a chip's failure all do.
      float word = 0;
      TRY(device.to_host(&word, memory.data(), sizeof word));
      return false;
    }
    if (!are_alike(by_warps, by_warpgroups.value())) return false;
  }
  return true;
}

}  // namespace reform
