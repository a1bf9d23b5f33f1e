#include "tests/runtime/support/fenced_device.h"

#include <sys/mman.h>

#include <cstring>
#include <initializer_list>

#include "base/thread_pool.h"
#include "base/try.h"
#include "kernels/cuda/cuda_ops.inl.h"

namespace reform::test {
namespace {

constexpr int64_t kDeviceBytes = int64_t{1} << 30;  // of address space: pages come when they are written
constexpr std::byte kPoison{0xff};                  // floats and scales of all formats are NaN

// Every op, with the memory open while it runs. All that it is handed must lie there, but for what device.h names, and
// no copy that nobody has waited for may be from it or to it.
class FencedOps final : public Ops {
 public:
  FencedOps(FencedMemory& memory, const FencedCopies& copies, std::unique_ptr<Ops> ops, std::function<void()> tell)
      : memory_(memory), copies_(copies), ops_(std::move(ops)), tell_(std::move(tell)) {}
  const char* name() const override { return ops_->name(); }

  void embed(const Weight& table, std::span<const int32_t> ids, float scale, MatView<float> out) override {
    const FencedMemory::Open open = inside({table.data, out.data});
    ops_->embed(table, ids, scale, out);
  }
  void rms_norm(MatView<const float> x, std::span<const float> weight, float eps, MatView<float> out) override {
    const FencedMemory::Open open = inside({x.data, weight.data(), out.data});
    ops_->rms_norm(x, weight, eps, out);
  }
  void matmul(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
              MatView<float> y) override {
    const FencedMemory::Open open = inside({w.data, x.data, bias.data(), y.data});
    ops_->matmul(w, x, bias, accumulate, y);
  }
  void gated_activation(Activation act, MatView<float> gate, MatView<const float> up) override {
    const FencedMemory::Open open = inside({gate.data, up.data});
    ops_->gated_activation(act, gate, up);
  }
  void add(MatView<float> x, MatView<const float> y) override {
    const FencedMemory::Open open = inside({x.data, y.data});
    ops_->add(x, y);
  }
  void rope(const Rope& rope, int64_t first_slot, int64_t head_dim, MatView<float> x) override {
    const FencedMemory::Open open = inside({x.data});
    ops_->rope(rope, first_slot, head_dim, x);
  }
  void store_kv(MatView<const float> k, MatView<const float> v, int64_t first_slot, const KvView& kv) override {
    const FencedMemory::Open open = inside({k.data, v.data, kv.k, kv.v});
    ops_->store_kv(k, v, first_slot, kv);
  }
  void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse) override {
    const FencedMemory::Open open = inside({args.q.data, args.kv.k, args.kv.v, out.data, lse.data});
    ops_->attention(args, out, lse);
  }
  void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, std::span<const int32_t> query_rows,
                             std::span<const float> query_weights, std::span<float> column_sums) override {
    const FencedMemory::Open open = inside({args.q.data, args.kv.k, lse.data, column_sums.data()});
    ops_->attention_column_sums(args, lse, query_rows, query_weights, column_sums);
  }
  void compact_kv(const KvView& kv, std::span<const int32_t> keep) override {
    const FencedMemory::Open open = inside({kv.k, kv.v, keep.data()});
    ops_->compact_kv(kv, keep);
  }
  void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores,
                    std::span<int32_t> keep) override {
    const FencedMemory::Open open = inside({scores.data(), keep.data()});
    ops_->choose_slots(kept, kv_len, scores, keep);
  }
  void compact_scores(std::span<float> scores, std::span<const int32_t> keep) override {
    const FencedMemory::Open open = inside({scores.data(), keep.data()});
    ops_->compact_scores(scores, keep);
  }
  void normalise_quantise(MatView<const float> x, std::span<const float> centre, int8_t* q_out, int64_t q_stride,
                          float* scales_out, int64_t scale_stride) override {
    const FencedMemory::Open open = inside({x.data, centre.data(), q_out, scales_out});
    ops_->normalise_quantise(x, centre, q_out, q_stride, scales_out, scale_stride);
  }
  void score(const EmbeddingRows& stored, const EmbeddingRows& query, std::span<float> scores) override {
    const FencedMemory::Open open = inside({stored.values, stored.scales, query.values, query.scales, scores.data()});
    ops_->score(stored, query, scores);
  }
  void forget() override { ops_->forget(); }
  void argmax(std::span<const float> logits, int32_t* id) override {
    const FencedMemory::Open open = inside({logits.data(), id});
    ops_->argmax(logits, id);
  }
  void draw(std::span<const float> logits, const Draw& draw, int32_t* id) override {
    const FencedMemory::Open open = inside({logits.data(), id});
    ops_->draw(logits, draw, id);
  }

 private:
  // What is not there at all (no bias, say) is nobody's.
  FencedMemory::Open inside(std::initializer_list<const void*> all) {
    tell_();
    for (const void* data : all) {
      CHECK((data == nullptr || memory_.holds(data)));
      copies_.check_none_under_way(data, 1);
    }
    return FencedMemory::Open(memory_);
  }

  FencedMemory& memory_;
  const FencedCopies& copies_;
  const std::unique_ptr<Ops> ops_;
  const std::function<void()> tell_;
};

// While it lives, which kernels are launched under emulation.
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
  ++memory_.outside_writes;  // a copy to the host too, which does no harm
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
      "emulated cuda", false, 0, [](const OpLimits& limits) { return cuda::Scratch(limits).bytes; },
      [products](const OpLimits& limits, std::span<std::byte> workspace, const int64_t* outside_writes) {
        return std::make_unique<cuda::CudaOps>(limits, nullptr, workspace, CudaOptions{products, outside_writes});
      });
}

}  // namespace reform::test
