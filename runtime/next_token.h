// From the last row's hidden state to the next token's id. Greedily chosen, it is found where the logits are, and the
// id alone is copied; else the logits are, for the host's sampler.
#pragma once

#include <reform/generate.h>
#include <reform/status.h>

#include "kernels/device.h"
#include "runtime/sampler.h"
#include "runtime/transformer.h"

namespace reform {

class NextToken {
 public:
  // The device's logits count as its activations, a copy of them as the host's.
  static Result<NextToken> create(Device& device, MemoryAccount& host, int64_t n_vocab, const SamplingOptions& options);

  // Ops only, if all weights are resident.
  Status issue(Transformer& transformer, Ops& ops, const CancelToken* cancel);
  Result<int32_t> take();

 private:
  NextToken(Device& device, const SamplingOptions& options) : device_(&device), sampler_(options) {}

  Device* device_;
  Sampler sampler_;
  bool on_device_ = false;
  Buffer<float> logits_;
  Buffer<int32_t> id_;
  Buffer<std::byte> host_logits_;
};

}  // namespace reform
