#include "kernels/cuda/cuda_copies.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <algorithm>

#include "base/try.h"

namespace reform {
namespace {

// Large enough that the start of a copy costs nothing beside it; small enough to take a few milliseconds.
constexpr int64_t kMeasuredBytes = int64_t{256} << 20, kMeasuredPinnedBytes = int64_t{16} << 20;
constexpr int kMeasuredCopies = 3;  // after one that is not timed

}  // namespace

CudaCopies::~CudaCopies() {
  cudaSetDevice(index_);
  if (stream_ != nullptr) cudaStreamSynchronize(stream_);
  for (cudaEvent_t event : done_) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  for (cudaEvent_t event : {ops_issued_, begin_, end_}) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

Status CudaCopies::checked(cudaError_t error, const char* doing) const {
  const cudaError_t before = cudaGetLastError();  // a launch's error, or this call's; reading it clears it
  if (error == cudaSuccess) error = before;
  if (error == cudaSuccess) return {};
  return {Code::kUnavailable, fmt::format("cuda:{}: {}: {}", index_, doing, cudaGetErrorString(error))};
}

Status CudaCopies::open() {
  cudaSetDevice(index_);
  TRY(checked(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream for copies"));
  for (cudaEvent_t& event : done_) {
    TRY(checked(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event"));
  }
  TRY(checked(cudaEventCreateWithFlags(&ops_issued_, cudaEventDisableTiming), "making an event"));
  for (cudaEvent_t* event : {&begin_, &end_}) TRY(checked(cudaEventCreate(event), "making an event"));
  return {};
}

Status CudaCopies::measure(void* scratch, int64_t scratch_bytes) {
  cudaSetDevice(index_);
  const int64_t half = std::min(scratch_bytes / 2, kMeasuredBytes) / 256 * 256;
  if (half == 0) return {};
  TRY_ASSIGN(const double moved,
             time(scratch, static_cast<std::byte*>(scratch) + half, half, cudaMemcpyDeviceToDevice));
  device_bytes_per_s_ = 2 * moved;  // each byte is read and written
  const int64_t pinned_bytes = std::min(half, kMeasuredPinnedBytes);
  const auto allocated = allocate_pinned(pinned_bytes);
  if (!allocated.ok()) return allocated.status().code == Code::kMemoryCap ? Status{} : allocated.status();
  void* const pinned = allocated.value();
  const auto copied = time(scratch, pinned, pinned_bytes, cudaMemcpyHostToDevice);
  cudaStreamSynchronize(stream_);  // if the timing failed half way, earlier copies may still read the memory
  free_pinned(pinned);
  TRY(copied);
  copy_bytes_per_s_ = copied.value();
  return {};
}

Result<double> CudaCopies::time(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
  for (int i = 0; i <= kMeasuredCopies; ++i) {
    if (i == 1) TRY(checked(cudaEventRecord(begin_, stream_), "measuring its memory"));
    TRY(checked(cudaMemcpyAsync(to, from, size_t(bytes), kind, stream_), "measuring its memory"));
  }
  TRY(checked(cudaEventRecord(end_, stream_), "measuring its memory"));
  TRY(checked(cudaEventSynchronize(end_), "measuring its memory"));
  float ms = 0;
  TRY(checked(cudaEventElapsedTime(&ms, begin_, end_), "measuring its memory"));
  return ms > 0 ? double(bytes) * kMeasuredCopies / (double(ms) / 1000) : 0.0;
}

Result<void*> CudaCopies::allocate_pinned(int64_t bytes) {
  cudaSetDevice(index_);
  void* data = nullptr;
  const cudaError_t error = cudaHostAlloc(&data, size_t(bytes), cudaHostAllocDefault);
  if (error == cudaSuccess) return data;
  if (error != cudaErrorMemoryAllocation) return checked(error, "pinning host memory");
  (void)cudaGetLastError();
  return Status{Code::kMemoryCap, fmt::format("{} of pinned host memory could not be had", format_bytes(bytes))};
}

void CudaCopies::free_pinned(void* data) {
  cudaSetDevice(index_);
  cudaFreeHost(data);
}

Result<int64_t> CudaCopies::start(void* to, const void* from, int64_t bytes) {
  cudaSetDevice(index_);
  TRY(checked(cudaEventRecord(ops_issued_, ops_stream_), "ordering a copy"));
  TRY(checked(cudaStreamWaitEvent(stream_, ops_issued_, 0), "ordering a copy"));
  Status started = checked(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyDefault, stream_), "copying");
  if (started.ok()) started = checked(cudaEventRecord(done(n_started_), stream_), "ordering a copy");
  if (started.ok()) return n_started_++;
  cudaStreamSynchronize(stream_);  // the copy may be under way, and the caller gets no number to wait for
  return started;
}

Status CudaCopies::ops_wait_for(int64_t copy) {
  CHECK(copy >= 0 && copy < n_started_);
  cudaSetDevice(index_);
  return checked(cudaStreamWaitEvent(ops_stream_, done(copy), 0), "ordering its work");
}

Status CudaCopies::wait_for(int64_t copy) {
  CHECK(copy >= 0 && copy < n_started_);
  cudaSetDevice(index_);
  return checked(cudaEventSynchronize(done(copy)), "waiting for a copy");
}

}  // namespace reform
