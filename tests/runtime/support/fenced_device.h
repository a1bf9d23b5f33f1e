// A device whose memory the host cannot touch. Between ops and copies its pages are closed, and reading or writing them
// ends the test. So code that runs on it keeps host and device memory apart, as a GPU needs.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/arena.h"
#include "kernels/cuda/product_library.h"
#include "kernels/device.h"

namespace reform::test {

// Memory of a fixed size. `fenced`: closed unless an Open exists.
class FencedMemory final : public MemorySource {
 public:
  FencedMemory(int64_t bytes, bool fenced);
  ~FencedMemory() override;
  void* allocate_zeroed(int64_t bytes) override;
  void give_back(void* data, int64_t bytes) override;
  bool holds(const void* data) const { return data >= base_ && data < base_ + bytes_; }
  int64_t outside_writes = 0;
  // Called before memory is given back.
  std::function<void(const void* data, int64_t bytes)> on_give_back;

  class Open {
   public:
    explicit Open(FencedMemory& memory) : memory_(memory) { memory_.protect(true); }
    ~Open() { memory_.protect(false); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    FencedMemory& memory_;
  };

 private:
  void protect(bool open);
  std::byte* base_ = nullptr;
  const int64_t bytes_;
  const bool fenced_;
  Arena arena_;
};

// Makes copies as late as the contract allows: when they are waited for. Until then their target is filled with NaN. So
// a test notices ops that do not wait, a source that changes too early, and memory given back too early.
class FencedCopies final : public Copies {
 public:
  explicit FencedCopies(FencedMemory& memory) : memory_(memory) {}
  ~FencedCopies() override;
  Result<void*> allocate_pinned(int64_t bytes) override;
  void free_pinned(void* data) override;
  Result<int64_t> start(void* to, const void* from, int64_t bytes) override;
  Status ops_wait_for(int64_t copy) override { return carry_out(copy); }
  Status wait_for(int64_t copy) override { return carry_out(copy); }
  double device_bytes_per_s() const override { return 2e9; }
  double copy_bytes_per_s() const override { return 1e8; }

  int64_t bytes_in() const { return bytes_in_; }  // of copies into the device's memory that were started
  int64_t pinned_bytes() const;
  void fail_after(int64_t n_copies) { copies_left_ = n_copies; }
  void check_none_under_way(const void* data, int64_t bytes) const;
  std::function<void()> on_wait;  // called before pending copies are carried out

 private:
  struct Pending {
    int64_t number;
    std::byte* to;
    const std::byte* from;
    int64_t bytes;
  };
  Status carry_out(int64_t up_to);
  bool is_pinned(const void* data, int64_t bytes) const;
  FencedMemory& memory_;
  std::deque<Pending> pending_;
  std::map<const std::byte*, std::vector<std::byte>> pinned_;  // by where it begins
  int64_t n_started_ = 0, bytes_in_ = 0, copies_left_ = INT64_MAX;
};

class FencedDevice final : public Device {
 public:
  // outside_writes counts writes other than by ops.
  using MakeOps = std::function<std::unique_ptr<Ops>(const OpLimits& limits, std::span<std::byte> workspace,
                                                     const int64_t* outside_writes)>;
  using WorkspaceBytes = std::function<int64_t(const OpLimits& limits)>;
  FencedDevice(const char* name, bool fenced, int64_t cap_bytes, WorkspaceBytes workspace_bytes, MakeOps make_ops);

  const char* name() const override { return name_; }
  MemoryAccount& account() override { return account_; }
  bool is_host() const override { return false; }
  // The same as the CPU's if fenced, whose results then agree to the bit; otherwise small, so that jobs go through
  // several blocks.
  int64_t block_tokens() const override { return fenced_ ? 512 : 37; }
  bool has_every_op() const override { return fenced_; }
  int64_t workspace_bytes(const OpLimits& limits) const override { return workspace_bytes_(limits); }
  // Issues the step twice and refuses copies. Under emulation the kernels must be those that were prepared, if any
  // were.
  Status run_step(StepKind kind, Ops& ops, const std::function<Status()>& issue) override;
  Status prepare_step(StepKind kind, Ops& ops, const std::function<Status()>& issue) override;
  std::unique_ptr<Ops> make_ops(const OpLimits& limits, std::span<std::byte> workspace) override;
  Status to_device(void* to, const void* from, int64_t bytes) override;
  Status to_host(void* to, const void* from, int64_t bytes) override;
  void fill_zero(void* to, int64_t bytes) override;
  FencedCopies* copies() override { return &copies_; }

  static constexpr int64_t kNever = INT64_MAX;
  // All copies fail once n_copies have been made, both those in the order of the ops and those beside them.
  void fail_after(int64_t n_copies) {
    copies_left_ = n_copies;
    copies_.fail_after(n_copies);
  }
  struct Step {
    std::vector<const void*> kernels;  // as prepared
    int64_t n_prepared = 0, n_run = 0;
  };
  const Step& step(StepKind kind) const { return steps_[size_t(kind)]; }
  enum class Event { kOp, kToHost };  // waiting for copies is kToHost, too
  std::function<void(Event)> watch;   // called before each

 private:
  const char* name_;
  const bool fenced_;
  const WorkspaceBytes workspace_bytes_;
  const MakeOps make_ops_;
  FencedMemory memory_;
  FencedCopies copies_{memory_};
  void tell(Event event) const {
    if (watch) watch(event);
  }
  Status copy(void* to, const void* from, int64_t bytes);
  MemoryAccount account_;
  int64_t copies_left_ = kNever;
  bool in_step_ = false;
  std::array<Step, size_t(StepKind::kCount)> steps_;
};

// The CPU's kernels, or CUDA's under emulation, on memory of their own. The emulation's memory is always open: opening
// it for each op would make slow tests slower.
std::unique_ptr<FencedDevice> fenced_cpu(Isa isa, ThreadPool& pool, int64_t cap_bytes = 0);
std::unique_ptr<FencedDevice> fenced_emulated_cuda(cuda::ProductLibrary* products = nullptr);

}  // namespace reform::test
