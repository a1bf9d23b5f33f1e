// Where a job runs and where its buffers lie: this machine's cores and memory, or a GPU and its own.
//
// What ops read and write is the device's memory; the host reaches it through copies only. But spans of rows and
// their weights (ids, query_rows, query_weights) and a Rope's frequencies are the host's.
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

// Copies between pinned memory of the host and a device's own, either way, beside its ops: on a stream of their own,
// one after another. They count from 0.
class Copies {
 public:
  virtual ~Copies() = default;
  // Host memory whose pages stay where they are. kMemoryCap when refused, kUnavailable: the device has failed.
  virtual Result<void*> allocate_pinned(int64_t bytes) = 0;
  virtual void free_pinned(void* data) = 0;

  // Begins when the ops issued so far are done; those issued later do not wait for it. Until somebody has waited for
  // it, `from` stays as it is, and `to` is neither read nor given back. Its number; kUnavailable: the device has
  // failed.
  virtual Result<int64_t> start(void* to, const void* from, int64_t bytes) = 0;
  // Ops issued from now on begin after this copy and those before it. For one of long ago that may mean a later one.
  virtual Status ops_wait_for(int64_t copy) = 0;
  // So does the host. kUnavailable: the device has failed.
  virtual Status wait_for(int64_t copy) = 0;

  // Measured when the device was opened.
  struct Rates {
    double device_bytes_per_s = 0;  // of its own memory, read
    double copy_bytes_per_s = 0;    // into it, from pinned memory
  };
  virtual Rates rates() const = 0;
};

// Accounted pinned memory, as Buffer is for the rest: the account is the host's. Move-only; no copy may be under way
// when it goes.
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

// Steps of a decode: of one kind they are the same ops, on as many rows. The next token is the best one, or drawn.
enum class StepKind : uint8_t { kBest, kDrawn, kCount };

class Device {
 public:
  virtual ~Device() = default;
  virtual const char* name() const = 0;  // "avx512", "cuda:0"
  virtual MemoryAccount& account() = 0;  // of its memory: buffers for ops come from it
  virtual bool is_host() const = 0;      // whether that is the host's own memory
  // Rows of one op that suit it. Wide activations have memory for so many, progress and cancellation take effect after
  // each, and each reads and unpacks a weight matrix once.
  virtual int64_t block_tokens() const = 0;
  virtual const char* product_library() const { return ""; }  // that multiplies matrices; "": our own kernels do
  virtual const char* attention() const { return ""; }  // whose products its attention of many rows is made of, to say
  virtual int64_t max_head_dim() const { return INT64_MAX; }  // that its attention knows
  // What is taken of its memory beside the account, now: the driver's own, kernels, libraries. 0 where it is the
  // host's.
  virtual int64_t outside_bytes() const { return 0; }

  // Bytes make_ops() wants as workspace, in the device's memory. Both outlive the ops.
  virtual int64_t workspace_bytes(const OpLimits& limits) const = 0;
  virtual std::unique_ptr<Ops> make_ops(const OpLimits& limits, std::span<std::byte> workspace) = 0;

  // Ops that are issued again and again with other arguments, as one piece of work where the device has such. `issue`
  // calls these ops and makes no copies; it may be called twice, so it sets what it changes.
  virtual Status run_step(StepKind /*kind*/, Ops& /*ops*/, const std::function<Status()>& issue) { return issue(); }
  // Makes such a piece of work ready, and runs none of it: what the driver wants for it is taken now. `issue` is of the
  // same ops on other buffers, which may be gone when run_step() is called.
  virtual Status prepare_step(StepKind /*kind*/, Ops& /*ops*/, const std::function<Status()>& /*issue*/) { return {}; }

  // In the order of the ops, and done when they return. kUnavailable: the device has failed, now or in an op before.
  virtual Status to_device(void* to, const void* from, int64_t bytes) = 0;
  virtual Status to_host(void* to, const void* from, int64_t bytes) = 0;
  // In the order of the ops; what fails is met by the next copy, as it is for them.
  virtual void fill_zero(void* to, int64_t bytes) = 0;
  virtual Copies* copies() { return nullptr; }  // nullptr where is_host()
};

// `account` is the host's; both must outlive the device.
std::unique_ptr<Device> make_cpu_device(Isa isa, ThreadPool& pool, MemoryAccount& account);

// How the host and the ops see each other's bytes: as they lie where the device's memory is the host's, else copied to
// `room` on the side that looks, of copy_bytes(device, bytes). The copy is done when they return.
int64_t copy_bytes(const Device& device, int64_t bytes);  // `bytes`, or 0 where nothing is copied
Result<const std::byte*> seen_by_host(Device& device, const void* data, int64_t bytes, std::byte* room);
Result<const std::byte*> seen_by_ops(Device& device, const void* data, int64_t bytes, std::byte* room);

// What a job's buffers are made on. Every job is made twice: first on a CountingSite, to know what it takes, then where
// it runs. So making one allocates all it will need, and touches none of it.
struct Site {
  Device& device;
  Ops* ops;             // of the device, which the job calls when it runs; null on a CountingSite
  MemoryAccount& host;  // of what lies outside a device's own memory; device.account() where that is the host's
};

}  // namespace reform
