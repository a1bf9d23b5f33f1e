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
// Both round probabilities to F16, of which a row's sum is one; a wrong layout is off by as much as the values are.
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

bool is_right(int64_t head_dim) {
  std::minstd_rand random{uint32_t(head_dim)};
  std::uniform_real_distribution<float> any(-1, 1);
  const int64_t n_out = kTokens * kHeads * head_dim;
  const Scratch q(filled<float>(n_out, [&] { return 4 * any(random); }));
  const auto half = [&] { return f32_to_f16(any(random)); };
  const Scratch k(filled<uint16_t>(kKeys * head_dim, half)), v(filled<uint16_t>(kKeys * head_dim, half));
  const OpLimits limits{kTokens, kHeads * head_dim, kKeys, kHeads, 1, head_dim};
  const int64_t workspace_bytes = cuda_workspace_bytes(limits);
  const Scratch workspace(workspace_bytes);
  if (!q.ok() || !k.ok() || !v.ok() || !workspace.ok()) return false;
  const AttentionArgs args{.q = {q.as<float>(), kTokens, kHeads * head_dim},
                           .kv = {KvView::Type::kF16, k.as<void>(), v.as<void>(), 1, head_dim, kKeys, kKeys},
                           .key_rope = nullptr,
                           .scale = float(1 / std::sqrt(double(head_dim))),
                           .window = 0};
  std::vector<float> found[2];
  for (const bool warpgroups : {false, true}) {
    const Scratch out(std::vector<float>(size_t(n_out), NAN));
    const auto ops = make_cuda_ops(limits, nullptr, {workspace.as<std::byte>(), size_t(workspace_bytes)},
                                   {.warpgroups = warpgroups});
    ops->attention(args, {out.as<float>(), kTokens, kHeads * head_dim}, {});
    found[warpgroups].resize(size_t(n_out));
    if (cudaGetLastError() != cudaSuccess || cudaMemcpy(found[warpgroups].data(), out.as<float>(), size_t(n_out) * 4,
                                                        cudaMemcpyDeviceToHost) != cudaSuccess) {
      return false;
    }
  }
  for (size_t i = 0; i < found[0].size(); ++i) {
    if (!(std::abs(double(found[0][i]) - double(found[1][i])) <= kAllowed)) return false;
  }
  return true;
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
