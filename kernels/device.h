// Where a job runs and where its buffers lie: this machine's cores and memory, or a GPU and its memory.
//
// The host reaches the device's memory through copies only. HostSpan (kernels/ops.h) marks what is the host's.
// Thread-safety: one call at a time, the ops' included.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "base/memory.h"
#include "kernels/ops.h"

namespace reform {

// Copies between the host's pinned memory and a device's own, in either direction. They run beside the device's ops, on
// a stream of their own, one after another. They are numbered from 0.
class Copies {
 public:
  virtual ~Copies() = default;
  // Host memory whose pages stay in place. kMemoryCap: refused. kUnavailable: the device has failed.
  virtual Result<void*> allocate_pinned(int64_t bytes) = 0;
  virtual void free_pinned(void* data) = 0;

  // Starts a copy and returns its number. It begins when the ops issued so far are done; ops issued later do not wait
  // for it. Until someone has waited for it, `from` must not change, and `to` must not be read or freed. kUnavailable:
  // the device has failed.
  virtual Result<int64_t> start(void* to, const void* from, int64_t bytes) = 0;
  // Ops issued from now on begin after this copy and all before it. For a copy long past they may wait for a later one.
  virtual Status ops_wait_for(int64_t copy) = 0;
  // The host waits for this copy and all before it. kUnavailable: the device has failed.
  virtual Status wait_for(int64_t copy) = 0;

  // Measured when the device was opened; 0: unknown.
  virtual double device_bytes_per_s() const = 0;  // reading its own memory
  virtual double copy_bytes_per_s() const = 0;    // copying into it from pinned memory
};

// Accounted pinned memory, as Buffer is for the rest; the host's account counts it. Move-only. No copy may be under way
// when it is freed.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  static Result<PinnedBuffer> create(Copies& copies, MemoryAccount& host, MemoryCategory category, int64_t bytes);
  ~PinnedBuffer() { reset(); }
  PinnedBuffer(PinnedBuffer&& o) noexcept { swap(o); }
  PinnedBuffer& operator=(PinnedBuffer&& o) noexcept {
    if (this != &o) {
      reset();
      swap(o);
    }
    return *this;
  }

  std::byte* data() { return data_; }
  int64_t size() const { return bytes_; }
  void reset();

 private:
  void swap(PinnedBuffer& o) {
    std::swap(data_, o.data_), std::swap(bytes_, o.bytes_), std::swap(copies_, o.copies_);
    std::swap(host_, o.host_), std::swap(category_, o.category_);
  }
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  Copies* copies_ = nullptr;
  MemoryAccount* host_ = nullptr;
  MemoryCategory category_ = MemoryCategory::kCount;
};

// Kinds of decode steps. All steps of one kind have the same ops on as many rows. The next token is the best one, or
// drawn.
enum class StepKind : uint8_t { kBest, kDrawn, kCount };

class Device {
 public:
  virtual ~Device() = default;
  virtual const char* name() const = 0;  // "avx512", "cuda:0"
  virtual MemoryAccount& account() = 0;  // of its memory: buffers for ops come from it
  virtual bool is_host() const = 0;      // whether its memory is the host's own
  // How many rows of one op suit it. Wide activations have memory for that many rows. Progress and cancellation take
  // effect after each such block, and each block reads and unpacks a weight matrix once.
  virtual int64_t block_tokens() const = 0;
  // The library that multiplies matrices; "": our own kernels do.
  virtual const char* product_library() const { return ""; }
  virtual const char* attention() const { return ""; }  // the products that its attention of many rows uses, to say
  virtual int64_t max_head_dim() const { return INT64_MAX; }  // the largest for its attention
  // Whether its ops have scale(), choose_cascade(), merge_kv() and AttentionArgs::slot_bias. Policies that call them
  // are refused where it is false (Policy::cpu_only).
  virtual bool has_every_op() const { return true; }
  // Bytes of its memory that are in use now beside the account: the driver's own, kernels, libraries. 0 if the memory
  // is the host's.
  virtual int64_t outside_bytes() const { return 0; }

  // The bytes of the device's memory that make_ops() wants as workspace. The device and the workspace must outlive the
  // ops.
  virtual int64_t workspace_bytes(const OpLimits& limits) const = 0;
  virtual std::unique_ptr<Ops> make_ops(const OpLimits& limits, std::span<std::byte> workspace) = 0;

  // Runs ops that are issued again and again with other arguments, as one piece of work if the device can. `issue`
  // calls these ops and makes no copies. It may be called twice, so it must set all that it changes.
  virtual Status run_step(StepKind /*kind*/, Ops& /*ops*/, const std::function<Status()>& issue) { return issue(); }
  // Makes such a piece of work ready and runs none of it, so that the driver takes the memory for it now. `issue` calls
  // the same ops on other buffers, which may be gone when run_step() is called.
  virtual Status prepare_step(StepKind /*kind*/, Ops& /*ops*/, const std::function<Status()>& /*issue*/) { return {}; }

  // Run in the order of the ops, and are done when they return. kUnavailable: the device has failed, now or in an
  // earlier op.
  virtual Status to_device(void* to, const void* from, int64_t bytes) = 0;
  virtual Status to_host(void* to, const void* from, int64_t bytes) = 0;
  // Runs in the order of the ops. As with them, the next copy reports a failure.
  virtual void fill_zero(void* to, int64_t bytes) = 0;
  virtual Copies* copies() { return nullptr; }  // nullptr if is_host()
};

// `account` is the host's. It and the pool must outlive the device.
std::unique_ptr<Device> make_cpu_device(Isa isa, ThreadPool& pool, MemoryAccount& account);

// How the host and the ops see each other's bytes. If the device's memory is the host's, they see them in place.
// Otherwise the bytes are copied to `room`, copy_bytes(device, bytes) large, on the side that looks. The copy is done
// on return.
int64_t copy_bytes(const Device& device, int64_t bytes);  // `bytes`, or 0 if nothing is copied
Result<const std::byte*> seen_by_host(Device& device, const void* data, int64_t bytes, std::byte* room);
Result<const std::byte*> seen_by_ops(Device& device, const void* data, int64_t bytes, std::byte* room);

// What a job's buffers are made on. Every job is made twice: first on a CountingSite, to learn how much memory it
// takes, then where it runs. So making a job allocates all that it will need and touches none of it.
struct Site {
  Device& device;
  Ops* ops;             // the device's, for the job to call when it runs; null on a CountingSite
  MemoryAccount& host;  // for memory outside the device's own; device.account() if that is the host's
  // To be called between ops of a job that runs long: jobs of others may run there. nullptr: there are none.
  const std::function<void()>* pause = nullptr;
};

}  // namespace reform
