// Copies beside the ops on a CUDA device: a stream of their own, pinned memory, and events between the two streams.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/device.h"

namespace reform {

class CudaCopies final : public Copies {
 public:
  // Of device `index`, whose ops run on `ops_stream`, which must outlive this.
  CudaCopies(int index, cudaStream_t ops_stream) : index_(index), ops_stream_(ops_stream) {}
  ~CudaCopies() override;
  Status open();  // makes the stream and events
  // Measures the rates in `scratch`, device memory that is not in use yet.
  Status measure(void* scratch, int64_t scratch_bytes);

  Result<void*> allocate_pinned(int64_t bytes) override;
  void free_pinned(void* data) override;
  Result<int64_t> start(void* to, const void* from, int64_t bytes) override;
  Status ops_wait_for(int64_t copy) override;
  Status wait_for(int64_t copy) override;
  Rates rates() const override { return rates_; }

 private:
  Status checked(cudaError_t error, const char* doing) const;
  Result<double> time(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind);
  cudaEvent_t done(int64_t copy) const { return done_[copy % kEvents]; }

  // Copies are done in order, so an event of a later copy may stand for an earlier one. There are enough events that
  // waiting for a chunk's rows does not wait for all the next chunk's weights too.
  static constexpr int64_t kEvents = 512;
  const int index_;
  const cudaStream_t ops_stream_;
  cudaStream_t stream_ = nullptr;
  // Recorded after the ops that a copy waits for. Recording it again does not change waits that were issued before.
  cudaEvent_t ops_issued_ = nullptr;
  cudaEvent_t done_[kEvents] = {};               // copy n: done_[n % kEvents]
  cudaEvent_t begin_ = nullptr, end_ = nullptr;  // with times
  int64_t n_started_ = 0;
  Rates rates_;
};

}  // namespace reform
