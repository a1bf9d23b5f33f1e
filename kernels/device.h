// Where a job runs and where its buffers lie: this machine's cores and memory, or a GPU and its own.
//
// What ops read and write is the device's memory; the host reaches it through copies only. But spans of indices and
// their weights (ids, query_rows, query_weights, keep) and a Rope's frequencies are the host's.
// Thread-safety: one call at a time, the ops' included.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/memory.h"
#include "kernels/ops.h"

namespace reform {

class Device {
 public:
  virtual ~Device() = default;
  virtual const char* name() const = 0;  // "avx512", "cuda:0"
  virtual MemoryAccount& account() = 0;  // of its memory: buffers for ops come from it
  virtual bool is_host() const = 0;      // whether that is the host's own memory
  // Rows of one op that suit it. Wide activations have memory for so many, progress and cancellation take effect after
  // each, and each reads and unpacks a weight matrix once.
  virtual int64_t block_tokens() const = 0;
  // What is taken of its memory beside the account, now: the driver's own, kernels, libraries. 0 where it is the
  // host's.
  virtual int64_t outside_bytes() const { return 0; }

  // Bytes make_ops() wants as workspace, in the device's memory. Both outlive the ops.
  virtual int64_t workspace_bytes(const OpLimits& limits) const = 0;
  virtual std::unique_ptr<Ops> make_ops(const OpLimits& limits, std::span<std::byte> workspace) = 0;

  // Ops that are issued again and again with other arguments (a token's decode), as one piece of work where the device
  // has such. `issue` calls these ops and makes no copies; it may be called twice, so it sets what it changes.
  virtual Status run_step(Ops& /*ops*/, const std::function<Status()>& issue) { return issue(); }

  // In the order of the ops, and done when they return. kUnavailable: the device has failed, now or in an op before.
  virtual Status to_device(void* to, const void* from, int64_t bytes) = 0;
  virtual Status to_host(void* to, const void* from, int64_t bytes) = 0;
  // In the order of the ops; what fails is met by the next copy, as it is for them.
  virtual void fill_zero(void* to, int64_t bytes) = 0;
};

// `account` is the host's; both must outlive the device.
std::unique_ptr<Device> make_cpu_device(Isa isa, ThreadPool& pool, MemoryAccount& account);

// What lies at `data` as the host sees it: there, or copied to `staging`, which a device that is_host() needs not have.
Result<std::span<const std::byte>> seen_by_host(Device& device, const void* data, int64_t bytes,
                                                Buffer<std::byte>& staging);

}  // namespace reform
