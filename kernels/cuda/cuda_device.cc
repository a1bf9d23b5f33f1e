#include "kernels/cuda/cuda_device.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <reform/units.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "base/arena.h"
#include "base/try.h"
#include "kernels/cuda/code_check.h"
#include "kernels/cuda/cublas_lt.h"
#include "kernels/cuda/cuda_copies.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/driver.h"
#include "kernels/cuda/step_graph.h"
#include "kernels/cuda/warpgroup_check.h"

namespace reform {
namespace {

// Free memory that we leave to other processes.
constexpr int64_t kReserveBytes = int64_t{256} << 20;
// Memory that the driver takes after the start, for graphs and a library's kernels.
constexpr int64_t kLateBytes = int64_t{96} << 20;
// What we assume a context and our kernels take, where the driver cannot say.
constexpr int64_t kAssumedOutsideBytes = int64_t{640} << 20;
// For the trial of a library's FP8 products: small matrices and its workspace.
constexpr int64_t kCheckBytes = int64_t{48} << 20;
// For the trial of attention by warpgroups: small problems and the ops' workspace.
constexpr int64_t kTrialBytes = int64_t{512} << 20;
constexpr int64_t kLargeArenaBytes = int64_t{4} << 30;

// Raises the known share of the driver on a chip for this process to at least `bytes`, and returns it. A context and
// its kernels outlive the Device they were made for; the next Device finds them there.
int64_t driver_share(int index, int64_t bytes) {
  static std::mutex mutex;
  static std::map<int, int64_t> shares;
  const std::lock_guard lock(mutex);
  return shares[index] = std::max(shares[index], bytes);
}

// Memory of one chip, from one allocation. The stream clears what is handed out, in the order of the work.
class CudaMemory final : public MemorySource {
 public:
  using Clear = std::function<void(void* to, int64_t bytes)>;
  CudaMemory(std::byte* base, int64_t bytes, Clear clear) : base_(base), arena_(bytes), clear_(std::move(clear)) {}
  void* allocate_zeroed(int64_t bytes) override {
    const auto offset = arena_.take(bytes);
    if (!offset) return nullptr;
    clear_(base_ + *offset, bytes);
    return base_ + *offset;
  }
  void give_back(void* data, int64_t /*bytes*/) override { arena_.give_back(static_cast<std::byte*>(data) - base_); }

 private:
  std::byte* const base_;
  Arena arena_;
  const Clear clear_;
};

// CUDA's current device is per thread, and a job may come from any thread, so each entry sets it. The thread that makes
// a job's ops also calls them.
class CudaDevice final : public Device {
 public:
  static Result<std::unique_ptr<Device>> open(int index, const CudaDeviceOptions& options);
  ~CudaDevice() override {
    cudaSetDevice(index_);
    if (stream_ != nullptr) cudaStreamSynchronize(stream_);
    copies_.reset();
    products_.reset();
    for (auto& step : steps_) step.reset();
    memory_.reset();
    if (arena_ != nullptr) cudaFree(arena_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
    (void)cudaGetLastError();  // nobody is left to report an error to
  }

  const char* name() const override { return name_.c_str(); }
  const char* product_library() const override { return products_ == nullptr ? "" : products_->name(); }
  const char* attention() const override { return warpgroups_ ? "warpgroups (wgmma)" : "warps (mma.sync)"; }
  MemoryAccount& account() override { return *account_; }
  bool is_host() const override { return false; }
  // Unpacking a matrix takes a chip as long as multiplying it by some 500 rows (bytes against flops of an H100), so a
  // block should have many more; on a small chip memory matters more. The size is an eighth above a power of two: a
  // chunk of 4,096 with its overlap is one block, so its last rows do not unpack every matrix once more.
  int64_t block_tokens() const override { return account_->cap_bytes() >= kLargeArenaBytes ? 4608 : 1152; }
  bool has_every_op() const override { return false; }
  int64_t max_head_dim() const override { return kMaxCudaHeadDim; }
  int64_t outside_bytes() const override {
    const auto used = used_bytes_of_chip(index_);
    if (!used || !used_before_) return kAssumedOutsideBytes;
    return std::max<int64_t>(*used - *used_before_ + share_before_ - arena_bytes_, 0);
  }
  int64_t workspace_bytes(const OpLimits& limits) const override { return cuda_workspace_bytes(limits); }
  std::unique_ptr<Ops> make_ops(const OpLimits& limits, std::span<std::byte> workspace) override {
    cudaSetDevice(index_);
    (void)cudaGetLastError();  // an error that another job on this thread left
    return make_cuda_ops(limits, stream_, workspace,
                         {.products = products_.get(), .outside_writes = &writes_, .warpgroups = warpgroups_});
  }
  Status run_step(StepKind kind, Ops& ops, const std::function<Status()>& issue) override {
    cudaSetDevice(index_);
    TRY(checked(cudaSuccess, "an op before a step"));  // so that a later error is the step's own
    return steps_[size_t(kind)]->run(stream_, ops, issue);
  }
  Status prepare_step(StepKind kind, Ops& ops, const std::function<Status()>& issue) override {
    cudaSetDevice(index_);
    TRY(checked(cudaSuccess, "an op before a step"));
    return steps_[size_t(kind)]->prepare(stream_, ops, issue);
  }
  Status to_device(void* to, const void* from, int64_t bytes) override {
    ++writes_;
    return copy(to, from, bytes, cudaMemcpyHostToDevice);
  }
  Status to_host(void* to, const void* from, int64_t bytes) override {
    return copy(to, from, bytes, cudaMemcpyDeviceToHost);
  }
  void fill_zero(void* to, int64_t bytes) override {
    cudaSetDevice(index_);
    ++writes_;
    if (bytes <= 0) return;
    const cudaError_t error = cudaMemsetAsync(to, 0, size_t(bytes), stream_);
    if (unmet_ == cudaSuccess) unmet_ = error;
  }
  Copies* copies() override { return copies_.get(); }

 private:
  Status take_arena(int64_t max_bytes);
  Status check_fp8();
  Status check_warpgroups();
  explicit CudaDevice(int index) : index_(index), name_(fmt::format("cuda:{}", index)) {}

  Status checked(cudaError_t error, const char* doing) {
    const cudaError_t before = cudaGetLastError();  // a launch's error, or this call's; reading it clears it
    const cudaError_t unmet = std::exchange(unmet_, cudaSuccess);
    if (error == cudaSuccess) error = before;
    if (error == cudaSuccess) error = unmet;
    if (error == cudaSuccess) return {};
    return {Code::kUnavailable, fmt::format("{}: {}: {}", name_, doing, cudaGetErrorString(error))};
  }
  Status copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
    if (bytes <= 0) return {};
    cudaSetDevice(index_);
    const Status started = checked(cudaMemcpyAsync(to, from, size_t(bytes), kind, stream_), "copying");
    // Waits even after an error: afterwards the caller may reuse the host's memory, and an earlier op may have failed.
    const Status done = checked(cudaStreamSynchronize(stream_), "waiting for its work");
    return started.ok() ? done : started;
  }

  const int index_;
  const std::string name_;
  bool warpgroups_ = false;
  cudaStream_t stream_ = nullptr;
  std::array<std::optional<StepGraph>, size_t(StepKind::kCount)> steps_;
  void* arena_ = nullptr;
  int64_t arena_bytes_ = 0;
  std::optional<int64_t> used_before_;  // by everybody, of the chip's memory
  int64_t share_before_ = 0;            // the driver's part of that for this process
  std::unique_ptr<cuda::ProductLibrary> products_;
  int64_t writes_ = 0;               // writes to the device's memory by anything but ops
  cudaError_t unmet_ = cudaSuccess;  // an error of clearing memory, not reported yet
  std::unique_ptr<CudaCopies> copies_;
  std::unique_ptr<CudaMemory> memory_;
  std::unique_ptr<MemoryAccount> account_;
};

Result<std::unique_ptr<Device>> CudaDevice::open(int index, const CudaDeviceOptions& options) {
  (void)cudaGetLastError();  // an error that others on this thread left
  std::unique_ptr<CudaDevice> device(new CudaDevice(index));
  device->used_before_ = used_bytes_of_chip(index);
  device->share_before_ = driver_share(index, 0);
  TRY(device->checked(cudaSetDevice(index), "opening it"));
  TRY(device->checked(cudaStreamCreateWithFlags(&device->stream_, cudaStreamNonBlocking), "making a stream"));
  // Loading the kernels now only makes their memory known. A driver that cannot list them loads each at its first
  // launch.
  (void)load_cuda_kernels();
  device->products_ = load_cublas_lt(options.cublas_lt);  // before the arena: the library takes memory of its own
  if (device->used_before_) driver_share(index, device->outside_bytes());
  if (device->products_ == nullptr && !options.cublas_lt.empty()) {
    return Status{Code::kUnavailable, fmt::format("{}: is not a cuBLASLt that works here", options.cublas_lt)};
  }
  for (auto& step : device->steps_) step.emplace();
  device->copies_ = std::make_unique<CudaCopies>(index, device->stream_);
  TRY(device->copies_->open());
  TRY(device->take_arena(options.max_bytes));
  if (options.fp8) TRY(device->check_fp8());
  if (options.warpgroups) TRY(device->check_warpgroups());
  TRY(device->copies_->measure(device->arena_, device->arena_bytes_));
  return std::unique_ptr<Device>(std::move(device));
}

// Runs before anything else uses the arena.
Status CudaDevice::check_fp8() {
  if (products_ == nullptr) {
    return {Code::kUnavailable,
            fmt::format("{}: --gpu-products fp8 needs cuBLASLt, and none was found (--cublas-lt)", name_)};
  }
  const std::span<std::byte> memory(static_cast<std::byte*>(arena_), size_t(std::min(arena_bytes_, kCheckBytes)));
  if (multiplies_codes(*products_, *this, stream_, memory)) return {};
  return {Code::kUnavailable,
          fmt::format("{}: --gpu-products fp8: {} does not multiply FP8 matrices here; leave it out, or try another "
                      "one (--cublas-lt)",
                      name_, products_->name())};
}

// Runs before anything else uses the arena.
Status CudaDevice::check_warpgroups() {
  cudaDeviceProp chip;
  TRY(checked(cudaGetDeviceProperties(&chip, index_), "looking at it"));
  if (chip.major != 9 || chip.minor != 0) return {};  // no other chip has the instructions
  const std::span<std::byte> memory(static_cast<std::byte*>(arena_), size_t(std::min(arena_bytes_, kTrialBytes)));
  const auto make = [this](const OpLimits& limits, std::span<std::byte> workspace, bool warpgroups) {
    return make_cuda_ops(limits, stream_, workspace, {.warpgroups = warpgroups});
  };
  const auto found = attends_by_warpgroups(*this, memory, make);
  if (!found.ok()) {
    return {found.status().code,
            fmt::format("{}; that was while attention by warpgroups was tried: --gpu-attention warps does without",
                        found.status().message)};
  }
  warpgroups_ = found.value();
  return {};
}

// max_bytes is all that the process has on the chip, the driver's share included.
Status CudaDevice::take_arena(int64_t max_bytes) {
  size_t free_bytes = 0, total_bytes = 0;
  TRY(checked(cudaMemGetInfo(&free_bytes, &total_bytes), "looking at its memory"));
  const int64_t outside = outside_bytes() + kLateBytes;
  const int64_t room = std::max<int64_t>(int64_t(free_bytes) - kLateBytes - kReserveBytes, 0);
  const int64_t bytes = max_bytes > 0 ? max_bytes - outside : room;
  const bool fits = bytes > 0 && bytes <= room;
  if (!fits || cudaMalloc(&arena_, size_t(bytes)) != cudaSuccess) {
    (void)cudaGetLastError();
    arena_ = nullptr;
    return {Code::kMemoryCap,
            fmt::format("{}: --max-gpu-memory {} cannot be had: {} of {} are free, and the driver takes {} beside what "
                        "we ask for; between that and {} would fit",
                        name_, format_bytes(max_bytes > 0 ? max_bytes : outside), format_bytes(int64_t(free_bytes)),
                        format_bytes(int64_t(total_bytes)), format_bytes(outside), format_bytes(room + outside))};
  }
  arena_bytes_ = bytes;
  memory_ = std::make_unique<CudaMemory>(static_cast<std::byte*>(arena_), bytes,
                                         [this](void* to, int64_t n_bytes) { fill_zero(to, n_bytes); });
  account_ = std::make_unique<MemoryAccount>(bytes, memory_.get());
  return {};
}

}  // namespace

std::vector<CudaChip> list_cuda_chips() {
  int n = 0;
  if (cudaGetDeviceCount(&n) != cudaSuccess) {
    (void)cudaGetLastError();
    return {};
  }
  std::vector<CudaChip> chips;
  for (int i = 0; i < n; ++i) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) {
      (void)cudaGetLastError();
      continue;
    }
    chips.push_back({i, properties.name, properties.major, properties.minor, int64_t(properties.totalGlobalMem)});
  }
  return chips;
}

Result<std::unique_ptr<Device>> open_cuda_device(int index, const CudaDeviceOptions& options) {
  int n_chips = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&n_chips); error != cudaSuccess && error != cudaErrorNoDevice) {
    (void)cudaGetLastError();
    // CUDA gives this error also where there is no driver at all.
    if (error == cudaErrorInsufficientDriver) {
      return Status{Code::kUnavailable,
                    fmt::format("there is no NVIDIA driver here, or one older than CUDA {}.{} takes; --device cpu runs "
                                "without it",
                                CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10)};
    }
    return Status{Code::kUnavailable, fmt::format("CUDA: {}; --device cpu runs without it", cudaGetErrorString(error))};
  }
  const std::vector<CudaChip> chips = list_cuda_chips();
  const auto chip = std::find_if(chips.begin(), chips.end(), [&](const CudaChip& c) { return c.index == index; });
  if (chip == chips.end()) {
    return Status{Code::kUnavailable, fmt::format("there is no CUDA device {}: {} seen; --device cpu runs without one",
                                                  index, chips.empty() ? "none" : std::to_string(chips.size()))};
  }
  if (chip->major < kOldestCudaMajor) {
    return Status{Code::kUnavailable,
                  fmt::format("cuda:{}: {} has compute capability {}.{}; {}.0 is the oldest that is supported", index,
                              chip->name, chip->major, chip->minor, kOldestCudaMajor)};
  }
  if (options.fp8 && (chip->major < 8 || (chip->major == 8 && chip->minor < 9))) {
    return Status{Code::kUnavailable,
                  fmt::format("cuda:{}: {} has compute capability {}.{}; --gpu-products fp8 needs 8.9 or later", index,
                              chip->name, chip->major, chip->minor)};
  }
  return CudaDevice::open(index, options);
}

}  // namespace reform
