// Chips, memory and errors of the fake runtime.
#include "tests/kernels/cuda/fake_runtime/fake_cuda.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "tests/kernels/cuda/emulated.h"
#include "tests/kernels/cuda/fake_runtime/fake_impl.h"

namespace reform::test {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int chosen_chip = 0;

namespace {

using Impl = FakeCuda::Impl;
FakeCuda* current = nullptr;

// A context and its kernels belong to the process: they stay when a device is closed, and from one FakeCuda to the
// next.
struct OfProcess {
  bool is_chosen = false, has_kernels = false;
};
std::map<int, OfProcess> of_process;

constexpr int kPoison = 0xff;  // as floats and as scales of all formats, NaN
constexpr size_t kGuardBytes = 1 << 16;
const char kMemcpy = 0, kMemset = 0;  // their addresses name nodes of graphs

std::byte* bytes_of(void* data) { return static_cast<std::byte*>(data); }
const std::byte* bytes_of(const void* data) { return static_cast<const std::byte*>(data); }

// Launches a kernel. The thread must have chosen a chip.
void launch(void* stream, const void* kernel, const std::function<void()>& run) {
  if (current == nullptr || stream == nullptr) return run();
  current->enqueue(stream, kernel, run);
}

}  // namespace

const char* name(Schedule schedule) {
  constexpr const char* kNames[] = {"late", "early", "ops late", "copies late", "random"};
  return kNames[size_t(schedule)];
}

FakeCuda::FakeCuda(Schedule schedule, std::vector<FakeChip> chips, uint64_t seed) : impl_(std::make_unique<Impl>()) {
  CHECK(current == nullptr);
  current = this;
  last_error = cudaSuccess, chosen_chip = 0;
  impl_->schedule = schedule;
  impl_->random.seed(seed);
  for (FakeChip& chip : chips) impl_->chips.push_back({.is = std::move(chip)});
}

FakeCuda::~FakeCuda() {
  for (const auto* all : {&impl_->device, &impl_->pinned}) {
    for (const auto& [data, block] : *all) ::munmap(data, block.mapped_bytes);
  }
  current = nullptr;
  cuda::emulated::on_launch = nullptr;
}

FakeCuda* FakeCuda::installed() { return current; }

void FakeCuda::fence() { impl_->is_fenced = true; }
void FakeCuda::fail(const std::string& function, int64_t n, cudaError_t error) {
  impl_->failures[function] = {n, error};
}
void FakeCuda::heal() { impl_->failures.clear(); }
void FakeCuda::fault_at_kernel(int64_t n) { impl_->fault_at = n; }
void FakeCuda::set_schedule(Schedule schedule) { impl_->schedule = schedule; }
int64_t FakeCuda::n_calls(const std::string& function) const {
  const auto at = impl_->calls.find(function);
  return at == impl_->calls.end() ? 0 : at->second;
}
int64_t FakeCuda::n_kernels() const { return impl_->n_kernels; }
int64_t FakeCuda::n_graph_launches() const { return impl_->n_graph_launches; }

int64_t FakeCuda::process_bytes(int chip) const {
  const Impl::Chip& c = impl_->chips.at(size_t(chip));
  const OfProcess& process = of_process[chip];
  return (process.is_chosen ? c.is.driver_bytes : 0) + (process.has_kernels ? c.is.kernel_bytes : 0) +
         c.allocated_bytes;
}
int64_t FakeCuda::used_bytes(int chip) const {
  return impl_->chips.at(size_t(chip)).is.others_bytes + process_bytes(chip);
}
bool FakeCuda::is_idle() const {
  return std::all_of(impl_->streams.begin(), impl_->streams.end(),
                     [](const auto& entry) { return entry.first->queue.empty(); });
}

std::string FakeCuda::complaints() const {
  std::string all;
  for (const std::string& what : impl_->complaints) all += what + "\n";
  const auto left = [&](size_t n, const char* what) {
    if (n > 0) all += fmt::format("{} {} left\n", n, what);
  };
  left(impl_->device.size(), "allocations of device memory");
  left(impl_->pinned.size(), "allocations of pinned memory");
  left(impl_->streams.size(), "streams");
  left(impl_->events.size(), "events");
  left(impl_->graphs.size(), "graphs");
  left(impl_->execs.size(), "executable graphs");
  return all;
}

cudaError_t FakeCuda::load_kernels() {
  return answer("cuFuncLoad", [&](Impl&) {
    of_process[chosen_chip].has_kernels = true;
    return cudaSuccess;
  });
}

void FakeCuda::enqueue(void* stream, const void* kernel, std::function<void()> run) {
  answer("cudaLaunchKernel", [&](Impl& fake) {
    auto* const to = static_cast<CUstream_st*>(stream);
    if (!fake.knows(fake.streams, to, "a stream")) return cudaErrorInvalidResourceHandle;
    // CUDA C++ Programming Guide, "Stream and event behavior": a launch fails on another device's stream.
    if (to->chip != chosen_chip) return cudaErrorInvalidResourceHandle;
    return fake.issue(to, {kernel, run, true}, {{.run = run, .kernel = kernel}});
  });
}

void Impl::protect(bool open) {
  if (!is_fenced) return;
  n_open += open ? 1 : -1;
  if (n_open != (open ? 1 : 0)) return;
  for (const auto& [data, block] : device)
    CHECK(::mprotect(data, block.bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE) == 0);
}

Impl::Block* Impl::block_of(std::map<std::byte*, Block>& all, const Range& range) {
  const auto after = all.upper_bound(const_cast<std::byte*>(range.begin));
  if (after == all.begin()) return nullptr;
  auto& [begin, block] = *std::prev(after);
  return range.begin + range.bytes <= begin + block.bytes ? &block : nullptr;
}

}  // namespace reform::test

using namespace reform::test;

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  FakeCuda* const fake = FakeCuda::installed();
  last_error = fake == nullptr ? cudaSuccess : fake->impl().sticky;
  return error;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    default:
      return "some other error";
  }
}

cudaError_t cudaGetDeviceCount(int* count) {
  return answer("cudaGetDeviceCount", [&](Impl& fake) {
    *count = int(fake.chips.size());
    return fake.chips.empty() ? cudaErrorNoDevice : cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return answer("cudaGetDeviceProperties", [&](Impl& fake) {
    if (device < 0 || device >= int(fake.chips.size())) return cudaErrorInvalidDevice;
    const FakeChip& chip = fake.chips[size_t(device)].is;
    *properties = {};
    chip.name.copy(properties->name, sizeof properties->name - 1);
    properties->totalGlobalMem = size_t(chip.total_bytes);
    properties->major = chip.major, properties->minor = chip.minor;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return answer("cudaSetDevice", [&](Impl& fake) {
    if (device < 0 || device >= int(fake.chips.size())) return cudaErrorInvalidDevice;
    of_process[device].is_chosen = true;
    chosen_chip = device;
    reform::cuda::emulated::on_launch = launch;
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return answer("cudaMemGetInfo", [&](Impl& fake) {
    const FakeChip& chip = fake.chips.at(size_t(chosen_chip)).is;
    *total = size_t(chip.total_bytes);
    *free = size_t(std::max<int64_t>(chip.total_bytes - FakeCuda::installed()->used_bytes(chosen_chip), 0));
    return cudaSuccess;
  });
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  return answer("cudaMalloc", [&](Impl& fake) {
    if (fake.is_forbidden_in_capture()) return cudaErrorStreamCaptureUnsupported;
    Impl::Chip& chip = fake.chips.at(size_t(chosen_chip));
    if (int64_t(bytes) > chip.is.total_bytes - FakeCuda::installed()->used_bytes(chosen_chip))
      return cudaErrorMemoryAllocation;
    const size_t usable = (bytes + 4095) / 4096 * 4096;
    void* const memory = ::mmap(nullptr, usable + kGuardBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK(::mprotect(memory, usable, PROT_READ | PROT_WRITE) == 0);
    std::memset(memory, kPoison, bytes);
    if (fake.is_fenced) CHECK(::mprotect(memory, usable, PROT_NONE) == 0);
    fake.device[bytes_of(memory)] = {bytes, usable + kGuardBytes, chosen_chip};
    chip.allocated_bytes += int64_t(bytes);
    *data = memory;
    return cudaSuccess;
  });
}

// The real call waits for the device; nothing here relies on that.
cudaError_t cudaFree(void* data) {
  return answer(
      "cudaFree",
      [&](Impl& fake) {
        const auto at = fake.device.find(bytes_of(data));
        if (at == fake.device.end()) return cudaErrorInvalidValue;
        if (fake.is_forbidden_in_capture()) return cudaErrorStreamCaptureUnsupported;
        if (!FakeCuda::installed()->is_idle()) fake.complain("device memory is freed while there is work");
        fake.chips[size_t(at->second.chip)].allocated_bytes -= int64_t(at->second.bytes);
        ::munmap(data, at->second.mapped_bytes);
        fake.device.erase(at);
        return cudaSuccess;
      },
      /*gives_back=*/true);
}

cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  return answer("cudaHostAlloc", [&](Impl& fake) {
    if (fake.is_forbidden_in_capture()) return cudaErrorStreamCaptureUnsupported;
    const size_t mapped = (bytes + 4095) / 4096 * 4096;
    if (bytes == 0) return cudaErrorInvalidValue;
    void* const memory = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    std::memset(memory, kPoison, bytes);
    fake.pinned[bytes_of(memory)] = {bytes, mapped, 0};
    *data = memory;
    return cudaSuccess;
  });
}

cudaError_t cudaFreeHost(void* data) {
  return answer(
      "cudaFreeHost",
      [&](Impl& fake) {
        const auto at = fake.pinned.find(bytes_of(data));
        if (at == fake.pinned.end()) return cudaErrorInvalidValue;
        if (fake.is_forbidden_in_capture()) return cudaErrorStreamCaptureUnsupported;
        const Range freed{at->first, at->second.bytes};
        for (const auto& [stream, owned] : fake.streams) {
          for (const Item& item : stream->queue) {
            for (const Range& range : item.touches)
              if (range.overlaps(freed)) fake.complain("pinned memory is freed while it is being copied");
          }
        }
        ::munmap(data, at->second.mapped_bytes);
        fake.pinned.erase(at);
        return cudaSuccess;
      },
      /*gives_back=*/true);
}

// CUDA Runtime API, "API synchronization behavior": a copy from or to pageable memory "might be synchronous". Here it
// is not: like a copy of pinned memory, it reads when it is carried out. The bytes that it will replace may hold
// anything from the moment when it may begin until it is done.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return answer("cudaMemcpyAsync", [&](Impl& fake) {
    const Range source{bytes_of(from), bytes}, target{bytes_of(to), bytes};
    const bool from_device = fake.block_of(fake.device, source) != nullptr;
    const bool to_device = fake.block_of(fake.device, target) != nullptr;
    const bool right = kind == cudaMemcpyDefault || (from_device == (kind != cudaMemcpyHostToDevice) &&
                                                     to_device == (kind != cudaMemcpyDeviceToHost));
    if (!right || (!from_device && !to_device)) return cudaErrorInvalidValue;
    if (source.overlaps(target)) fake.complain("a copy onto itself");
    const bool pageable = (!from_device && fake.block_of(fake.pinned, source) == nullptr) ||
                          (!to_device && fake.block_of(fake.pinned, target) == nullptr);
    if (pageable && fake.streams.contains(stream) && stream->is_capturing) {
      stream->is_invalidated = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    const auto copy = [&fake, to, from, bytes, both = from_device && to_device, chip = chosen_chip] {
      std::memcpy(to, from, bytes);
      Impl::Chip& c = fake.chips[size_t(chip)];
      c.clock_s += both ? 2 * double(bytes) / c.is.device_bytes_per_s : double(bytes) / c.is.copy_bytes_per_s;
    };
    const auto spoil = [to, bytes] { std::memset(to, kPoison, bytes); };
    return fake.issue(
        stream, {&kMemcpy, copy, false},
        {{.run = spoil, .at_once = true, .touches = {target}}, {.run = copy, .touches = {source, target}}});
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return answer("cudaMemsetAsync", [&](Impl& fake) {
    const Range target{bytes_of(to), bytes};
    if (fake.block_of(fake.device, target) == nullptr) return cudaErrorInvalidValue;
    const auto set = [to, value, bytes] { std::memset(to, value, bytes); };
    return fake.issue(stream, {&kMemset, set, false}, {{.run = set, .touches = {target}}});
  });
}
