// Copies on a CUDA device that run beside the ops: a stream of their own, pinned memory, and events between the two
// streams.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/device.h"

namespace reform {

class CudaCopies final : public Copies {
 public:
  // For device `index`. Its ops run on `ops_stream`, which must outlive this.
  CudaCopies(int index, cudaStream_t ops_stream) : index_(index), ops_stream_(ops_stream) {}
  ~CudaCopies() override;
  Status open();  // makes the stream and events
  // Measures the rates, with `scratch`: device memory that is not in use yet.
  Status measure(void* scratch, int64_t scratch_bytes);

  Result<void*> allocate_pinned(int64_t bytes) override;
  void free_pinned(void* data) override;
  Result<int64_t> start(void* to, const void* from, int64_t bytes) override;
  Status ops_wait_for(int64_t copy) override;
  Status wait_for(int64_t copy) override;
  double device_bytes_per_s() const override { return device_bytes_per_s_; }
  double copy_bytes_per_s() const override { return copy_bytes_per_s_; }

 private:
  Status checked(cudaError_t error, const char* doing) const;
  Result<double> time(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind);
  cudaEvent_t done(int64_t copy) const { return done_[copy % kEvents]; }

  // Copies finish in order, so a later copy's event may stand for an earlier one. There are enough events that a wait
  // for one chunk's rows does not also wait for all of the next chunk's weights.
  static constexpr int64_t kEvents = 512;
  const int index_;
  const cudaStream_t ops_stream_;
  cudaStream_t stream_ = nullptr;
  // Recorded after the ops that a copy waits for. Recording it again does not change waits issued earlier.
  cudaEvent_t ops_issued_ = nullptr;
  cudaEvent_t done_[kEvents] = {};               // copy n uses done_[n % kEvents]
  cudaEvent_t begin_ = nullptr, end_ = nullptr;  // these two record times
  int64_t n_started_ = 0;
  double device_bytes_per_s_ = 0, copy_bytes_per_s_ = 0;
};

}  // namespace reform
