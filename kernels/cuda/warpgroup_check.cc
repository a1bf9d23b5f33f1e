#include "kernels/cuda/warpgroup_check.h"

#include <cuda_runtime_api.h>

#include <cmath>
#include <map>
#include <mutex>
#include <random>
#include <vector>

#include "base/float16.h"
#include "kernels/cuda/cuda_ops.h"

namespace reform {
namespace {

// Several tiles of rows and of keys, the last ones not full, and so many rows that their keys are not split.
constexpr int64_t kTokens = 600, kKeys = 900, kHeads = 2;
// Both round probabilities to F16, of which a row's sum is one, and a column's here a third; a wrong layout is off by
// as much as the values are.
constexpr double kAllowed = 0.02;

// Memory of the chip, as long as the check lasts.
class Scratch {
 public:
  explicit Scratch(int64_t bytes) { ok_ = cudaMalloc(&data_, size_t(bytes)) == cudaSuccess; }
  ~Scratch() { cudaFree(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  Scratch(const std::vector<T>& values) : Scratch(int64_t(values.size() * sizeof(T))) {
    ok_ = ok_ && cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess;
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  bool ok() const { return ok_; }

 private:
  void* data_ = nullptr;
  bool ok_ = false;
};

template <class T, class Make>
std::vector<T> filled(int64_t n, Make make) {
  std::vector<T> values(static_cast<size_t>(n));
  for (T& v : values) v = make();
  return values;
}

struct Problem {
  explicit Problem(int64_t dim) : head_dim(dim), random(uint32_t(dim)) {}
  std::vector<float> floats(int64_t n, float largest) {
    std::uniform_real_distribution<float> any(-largest, largest);
    return filled<float>(n, [&] { return any(random); });
  }
  std::vector<uint16_t> halves(int64_t n) {
    std::uniform_real_distribution<float> any(-1, 1);
    return filled<uint16_t>(n, [&] { return f32_to_f16(any(random)); });
  }

  const int64_t head_dim;
  std::minstd_rand random;
  const int64_t n_out = kTokens * kHeads * head_dim;
  const OpLimits limits{kTokens, kHeads* head_dim, kKeys, kHeads, 1, head_dim};
  const Scratch q{floats(n_out, 4)}, k{halves(kKeys * head_dim)}, v{halves(kKeys * head_dim)};
  const Scratch workspace{cuda_workspace_bytes(limits)};

  // Attention's result and then the column sums of every third query, or nothing.
  std::vector<float> run(bool warpgroups) {
    const Scratch out(std::vector<float>(size_t(n_out), NAN)), lse(std::vector<float>(size_t(kTokens * kHeads), NAN));
    const Scratch sums(std::vector<float>(size_t(kKeys), 0));
    for (const Scratch* s : {&q, &k, &v, &workspace, &out, &lse, &sums}) {
      if (!s->ok()) return {};
    }
    const AttentionArgs args{.q = {q.as<float>(), kTokens, kHeads * head_dim},
                             .kv = {KvView::Type::kF16, k.as<void>(), v.as<void>(), 1, head_dim, kKeys, kKeys},
                             .key_rope = nullptr,
                             .scale = float(1 / std::sqrt(double(head_dim))),
                             .window = 0};
    const auto ops = make_cuda_ops(limits, nullptr, {workspace.as<std::byte>(), size_t(cuda_workspace_bytes(limits))},
                                   {.warpgroups = warpgroups});
    const MatView<float> lse_view(lse.as<float>(), kHeads, kTokens);
    ops->attention(args, {out.as<float>(), kTokens, kHeads * head_dim}, lse_view);
    std::vector<int32_t> rows;
    for (int32_t t = 0; t < kTokens; t += 3) rows.push_back(t);
    const std::vector<float> weights(rows.size(), 1.0f);
    ops->attention_column_sums(args, lse_view, rows, weights, {sums.as<float>(), size_t(kKeys)});
    std::vector<float> found(size_t(n_out + kKeys));
    const auto read = [&](const Scratch& from, int64_t at, int64_t n) {
      return cudaMemcpy(found.data() + at, from.as<float>(), size_t(n) * 4, cudaMemcpyDeviceToHost) == cudaSuccess;
    };
    if (cudaGetLastError() != cudaSuccess || !read(out, 0, n_out) || !read(sums, n_out, kKeys)) return {};
    return found;
  }
};

bool is_right(int64_t head_dim) {
  Problem problem(head_dim);
  const std::vector<float> by_warps = problem.run(false), by_warpgroups = problem.run(true);
  for (size_t i = 0; i < by_warps.size() && by_warps.size() == by_warpgroups.size(); ++i) {
    if (!(std::abs(double(by_warps[i]) - double(by_warpgroups[i])) <= kAllowed)) return false;
  }
  return !by_warps.empty() && by_warps.size() == by_warpgroups.size();
}

bool try_here() {
  cudaDeviceProp chip;
  int index = 0;
  if (cudaGetDevice(&index) != cudaSuccess || cudaGetDeviceProperties(&chip, index) != cudaSuccess) return false;
  if (chip.major != 9 || chip.minor != 0) return false;  // no other has the instructions
  const bool right = is_right(64) && is_right(128) && is_right(256);
  // A launch that was refused has left an error behind, and a fault one that stays until the context is made anew.
  (void)cudaGetLastError();
  if (cudaDeviceSynchronize() != cudaSuccess) cudaDeviceReset();
  (void)cudaGetLastError();
  return right;
}

}  // namespace

bool attends_by_warpgroups(int index) {
  static std::mutex mutex;
  static std::map<int, bool> known;
  const std::lock_guard lock(mutex);
  const auto found = known.find(index);
  if (found != known.end()) return found->second;
  return known[index] = try_here();
}

}  // namespace reform
