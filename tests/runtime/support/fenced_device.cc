#include "tests/runtime/support/fenced_device.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/thread_pool.h"
#include "base/try.h"
#include "kernels/forwarding_ops.h"
#include "tests/kernels/cuda/emulated.h"
#include "tests/kernels/cuda/emulated_kernels.h"

namespace reform::test {
namespace {

constexpr int64_t kDeviceBytes = int64_t{1} << 30;  // of address space: pages come when they are written
constexpr std::byte kPoison{0xff};                  // floats and scales of all formats are NaN

// The memory is open while an op runs. Everything handed to the op must lie there, and no unfinished copy may read or
// write it.
class FencedOps final : public ForwardingOps {
 public:
  FencedOps(FencedMemory& memory, const FencedCopies& copies, std::unique_ptr<Ops> ops, std::function<void()> tell)
      : ForwardingOps(std::move(ops)), memory_(memory), copies_(copies), tell_(std::move(tell)) {}

 private:
  void begin() override {
    tell_();
    open_.emplace(memory_);
  }
  void end() override { open_.reset(); }
  void* operand(void* data, int64_t bytes, bool /*is_const*/) override {
    CHECK(memory_.holds(data));
    CHECK((bytes <= 0 || memory_.holds(static_cast<std::byte*>(data) + bytes - 1)));
    copies_.check_none_under_way(data, std::max<int64_t>(bytes, 1));
    return data;
  }

  FencedMemory& memory_;
  const FencedCopies& copies_;
  const std::function<void()> tell_;
  std::optional<FencedMemory::Open> open_;
};

// While it lives, lists the kernels that are launched under emulation.
class ListedLaunches {
 public:
  ListedLaunches(std::vector<const void*>& kernels, bool run) {
    cuda::emulated::on_launch = [&kernels, run](void*, const void* kernel, const std::function<void()>& run_it) {
      kernels.push_back(kernel);
      if (run) run_it();
    };
  }
  ~ListedLaunches() { cuda::emulated::on_launch = nullptr; }
  ListedLaunches(const ListedLaunches&) = delete;
  ListedLaunches& operator=(const ListedLaunches&) = delete;
};

}  // namespace

FencedMemory::FencedMemory(int64_t bytes, bool fenced) : bytes_(bytes), fenced_(fenced), arena_(bytes) {
  void* base = ::mmap(nullptr, size_t(bytes), fenced ? PROT_NONE : PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(base != MAP_FAILED);
  base_ = static_cast<std::byte*>(base);
}
FencedMemory::~FencedMemory() { ::munmap(base_, size_t(bytes_)); }

void FencedMemory::protect(bool open) {
  if (!fenced_) return;
  CHECK(::mprotect(base_, size_t(bytes_), open ? PROT_READ | PROT_WRITE : PROT_NONE) == 0);
}

void* FencedMemory::allocate_zeroed(int64_t bytes) {
  const auto offset = arena_.take(bytes);
  if (!offset) return nullptr;
  const Open open(*this);
  ++outside_writes;
  std::memset(base_ + *offset, 0, size_t(bytes));
  return base_ + *offset;
}

void FencedMemory::give_back(void* data, int64_t bytes) {
  if (on_give_back) on_give_back(data, bytes);
  arena_.give_back(static_cast<std::byte*>(data) - base_);
}

FencedCopies::~FencedCopies() { CHECK((pending_.empty() && pinned_.empty())); }

Result<void*> FencedCopies::allocate_pinned(int64_t bytes) {
  std::vector<std::byte> memory(static_cast<size_t>(bytes), kPoison);
  std::byte* const data = memory.data();
  pinned_[data] = std::move(memory);
  return static_cast<void*>(data);
}

void FencedCopies::free_pinned(void* data) {
  const auto place = pinned_.find(static_cast<std::byte*>(data));
  CHECK(place != pinned_.end());
  check_none_under_way(data, int64_t(place->second.size()));
  pinned_.erase(place);
}

int64_t FencedCopies::pinned_bytes() const {
  int64_t bytes = 0;
  for (const auto& [at, memory] : pinned_) bytes += int64_t(memory.size());
  return bytes;
}

void FencedCopies::check_none_under_way(const void* data, int64_t bytes) const {
  const auto* const end = static_cast<const std::byte*>(data) + bytes;
  for (const Pending& p : pending_)
    for (const std::byte* side : {static_cast<const std::byte*>(p.to), p.from})
      CHECK((side + p.bytes <= data || side >= end));
}

bool FencedCopies::is_pinned(const void* data, int64_t bytes) const {
  const auto after = pinned_.upper_bound(static_cast<const std::byte*>(data));
  if (after == pinned_.begin()) return false;
  const auto& [begin, memory] = *std::prev(after);
  return static_cast<const std::byte*>(data) + bytes <= begin + memory.size();
}

Result<int64_t> FencedCopies::start(void* to, const void* from, int64_t bytes) {
  CHECK((bytes > 0 && (memory_.holds(to) ? is_pinned(from, bytes) : memory_.holds(from) && is_pinned(to, bytes))));
  if (copies_left_ == 0) return Status{Code::kUnavailable, "the device has failed"};
  if (copies_left_ != INT64_MAX) --copies_left_;
  const FencedMemory::Open open(memory_);
  std::memset(to, int(kPoison), size_t(bytes));
  pending_.push_back({n_started_, static_cast<std::byte*>(to), static_cast<const std::byte*>(from), bytes});
  if (memory_.holds(to)) bytes_in_ += bytes;
  return n_started_++;
}

Status FencedCopies::carry_out(int64_t up_to) {
  CHECK(up_to < n_started_);
  const bool is_waiting = !pending_.empty() && pending_.front().number <= up_to;
  if (is_waiting && on_wait) on_wait();
  const FencedMemory::Open open(memory_);
  while (!pending_.empty() && pending_.front().number <= up_to) {
    const Pending p = pending_.front();
    pending_.pop_front();
    if (copies_left_ != 0) std::memcpy(p.to, p.from, size_t(p.bytes));
  }
  return copies_left_ == 0 ? Status{Code::kUnavailable, "the device has failed"} : Status{};
}

FencedDevice::FencedDevice(const char* name, bool fenced, int64_t cap_bytes, WorkspaceBytes workspace_bytes,
                           MakeOps make_ops)
    : name_(name),
      fenced_(fenced),
      workspace_bytes_(std::move(workspace_bytes)),
      make_ops_(std::move(make_ops)),
      memory_(cap_bytes > 0 ? cap_bytes : kDeviceBytes, fenced),
      account_(cap_bytes, &memory_) {
  copies_.on_wait = [this] { tell(Event::kToHost); };
  memory_.on_give_back = [this](const void* data, int64_t bytes) { copies_.check_none_under_way(data, bytes); };
}

std::unique_ptr<Ops> FencedDevice::make_ops(const OpLimits& limits, std::span<std::byte> workspace) {
  const FencedMemory::Open open(memory_);
  return std::make_unique<FencedOps>(memory_, copies_, make_ops_(limits, workspace, &memory_.outside_writes),
                                     [this] { tell(Event::kOp); });
}

Status FencedDevice::prepare_step(StepKind kind, Ops& ops, const std::function<Status()>& issue) {
  Step& step = steps_[size_t(kind)];
  step.kernels.clear();
  const ListedLaunches listed(step.kernels, /*run=*/false);
  in_step_ = true;
  const Status status = issue();
  in_step_ = false;
  ops.forget();
  ++step.n_prepared;
  return status;
}

Status FencedDevice::run_step(StepKind kind, Ops& ops, const std::function<Status()>& issue) {
  Step& step = steps_[size_t(kind)];
  in_step_ = true;
  ++memory_.outside_writes;
  std::vector<const void*> kernels;
  Status status;
  {
    const ListedLaunches listed(kernels, /*run=*/true);
    status = issue();
  }
  if (status.ok() && step.n_prepared > 0) CHECK(kernels == step.kernels);
  ++step.n_run;
  ops.forget();
  if (status.ok()) status = issue();
  in_step_ = false;
  return status;
}

Status FencedDevice::to_device(void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return {};
  CHECK((memory_.holds(to) && !memory_.holds(from)));
  return copy(to, from, bytes);
}

Status FencedDevice::to_host(void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return {};
  CHECK((memory_.holds(from) && !memory_.holds(to)));
  tell(Event::kToHost);
  return copy(to, from, bytes);
}

Status FencedDevice::copy(void* to, const void* from, int64_t bytes) {
  CHECK(!in_step_);
  if (copies_left_ == 0) return {Code::kUnavailable, "the device has failed"};
  if (copies_left_ != kNever) --copies_left_;
  const FencedMemory::Open open(memory_);
  ++memory_.outside_writes;  // also counts copies to the host, which is harmless
  std::memcpy(to, from, size_t(bytes));
  return {};
}

void FencedDevice::fill_zero(void* to, int64_t bytes) {
  if (bytes == 0) return;
  CHECK(memory_.holds(to));
  const FencedMemory::Open open(memory_);
  ++memory_.outside_writes;
  std::memset(to, 0, size_t(bytes));
}

std::unique_ptr<FencedDevice> fenced_cpu(Isa isa, ThreadPool& pool, int64_t cap_bytes) {
  return std::make_unique<FencedDevice>(
      "fenced cpu", true, cap_bytes,
      [isa, &pool](const OpLimits& limits) { return cpu_workspace_bytes(isa, limits, pool.size()); },
      [isa, &pool](const OpLimits& limits, std::span<std::byte> workspace, const int64_t* /*outside_writes*/) {
        return make_cpu_ops(isa, limits, pool, workspace);
      });
}

std::unique_ptr<FencedDevice> fenced_emulated_cuda(cuda::ProductLibrary* products) {
  return std::make_unique<FencedDevice>(
      "emulated cuda", false, 0, emulated_workspace_bytes,
      [products](const OpLimits& limits, std::span<std::byte> workspace, const int64_t* outside_writes) {
        return make_emulated_ops(limits, nullptr, workspace, CudaOptions{products, outside_writes});
      });
}

}  // namespace reform::test
