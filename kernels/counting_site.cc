#include "kernels/counting_site.h"

#include "base/try.h"

namespace reform {
namespace {

// An address in the first page, which no process has: touching memory that was only counted stops the process.
void* nowhere() {
  static constexpr uintptr_t kNowhere = 64;
  return reinterpret_cast<void*>(kNowhere);
}

class NoMemory final : public MemorySource {
 public:
  void* allocate_zeroed(int64_t) override { return nowhere(); }
  void give_back(void*, int64_t) override {}
};

class NoCopies final : public Copies {
 public:
  Result<void*> allocate_pinned(int64_t) override { return nowhere(); }
  void free_pinned(void*) override {}
  Result<int64_t> start(void*, const void*, int64_t) override { return 0; }
  Status ops_wait_for(int64_t) override { return {}; }
  Status wait_for(int64_t) override { return {}; }
  double device_bytes_per_s() const override { return 0; }
  double copy_bytes_per_s() const override { return 0; }
};

class CountingDevice final : public Device {
 public:
  CountingDevice(Device& real, MemoryAccount& account) : real_(real), account_(account) {}

  const char* name() const override { return real_.name(); }
  MemoryAccount& account() override { return account_; }
  bool is_host() const override { return real_.is_host(); }
  int64_t block_tokens() const override { return real_.block_tokens(); }
  int64_t max_head_dim() const override { return real_.max_head_dim(); }
  bool has_every_op() const override { return real_.has_every_op(); }
  int64_t workspace_bytes(const OpLimits& limits) const override { return real_.workspace_bytes(limits); }
  std::unique_ptr<Ops> make_ops(const OpLimits&, std::span<std::byte>) override { return nullptr; }
  Status to_device(void*, const void*, int64_t) override { return {}; }
  Status to_host(void*, const void*, int64_t) override { return {}; }
  void fill_zero(void*, int64_t) override {}
  Copies* copies() override { return real_.copies() == nullptr ? nullptr : &copies_; }

 private:
  Device& real_;
  MemoryAccount& account_;
  NoCopies copies_;
};

}  // namespace

struct CountingSite::Impl {
  NoMemory no_memory;
  MemoryAccount device_account{0, &no_memory}, host_account{0, &no_memory};
  CountingDevice device;

  explicit Impl(Device& real) : device(real, real.is_host() ? host_account : device_account) {}
};

CountingSite::CountingSite(Device& real) : impl_(std::make_unique<Impl>(real)) {}
CountingSite::~CountingSite() = default;

Site CountingSite::site() { return {impl_->device, nullptr, impl_->host_account}; }
const MemoryAccount& CountingSite::device_account() const { return impl_->device_account; }
const MemoryAccount& CountingSite::host_account() const { return impl_->host_account; }

}  // namespace reform
