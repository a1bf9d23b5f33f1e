#include "kernels/device.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <cstring>

#include "base/thread_pool.h"
#include "base/try.h"

namespace reform {
namespace {

class CpuDevice final : public Device {
 public:
  CpuDevice(Isa isa, ThreadPool& pool, MemoryAccount& account) : isa_(isa), pool_(pool), account_(account) {}

  const char* name() const override { return reform::name(isa_); }
  MemoryAccount& account() override { return account_; }
  bool is_host() const override { return true; }
  // Takes less than a second on models of many billions of parameters. Reading a matrix costs next to nothing beside so
  // many rows.
  int64_t block_tokens() const override { return 512; }
  int64_t workspace_bytes(const OpLimits& limits) const override {
    return cpu_workspace_bytes(isa_, limits, pool_.size());
  }
  std::unique_ptr<Ops> make_ops(const OpLimits& limits, std::span<std::byte> workspace) override {
    return make_cpu_ops(isa_, limits, pool_, workspace);
  }
  Status to_device(void* to, const void* from, int64_t bytes) override { return copy(to, from, bytes); }
  Status to_host(void* to, const void* from, int64_t bytes) override { return copy(to, from, bytes); }
  void fill_zero(void* to, int64_t bytes) override {
    if (bytes > 0) std::memset(to, 0, size_t(bytes));
  }

 private:
  static Status copy(void* to, const void* from, int64_t bytes) {
    if (bytes > 0) std::memcpy(to, from, size_t(bytes));
    return {};
  }
  const Isa isa_;
  ThreadPool& pool_;
  MemoryAccount& account_;
};

}  // namespace

Result<PinnedBuffer> PinnedBuffer::create(Copies& copies, MemoryAccount& host, MemoryCategory category, int64_t bytes) {
  CHECK(bytes > 0);
  TRY(host.reserve(category, bytes));
  const auto data = copies.allocate_pinned(bytes);
  if (!data.ok()) host.release(category, bytes);
  PinnedBuffer b;
  TRY_ASSIGN(void* const memory, data);
  b.data_ = static_cast<std::byte*>(memory);
  b.bytes_ = bytes, b.copies_ = &copies, b.host_ = &host, b.category_ = category;
  return b;
}

void PinnedBuffer::reset() {
  if (data_ == nullptr) return;
  copies_->free_pinned(data_);
  host_->release(category_, bytes_);
  data_ = nullptr, bytes_ = 0;
}

std::unique_ptr<Device> make_cpu_device(Isa isa, ThreadPool& pool, MemoryAccount& account) {
  return std::make_unique<CpuDevice>(isa, pool, account);
}

int64_t copy_bytes(const Device& device, int64_t bytes) { return device.is_host() ? 0 : bytes; }

Result<const std::byte*> seen_by_host(Device& device, const void* data, int64_t bytes, std::byte* room) {
  if (device.is_host()) return static_cast<const std::byte*>(data);
  TRY(device.to_host(room, data, bytes));
  return static_cast<const std::byte*>(room);
}

Result<const std::byte*> seen_by_ops(Device& device, const void* data, int64_t bytes, std::byte* room) {
  if (device.is_host()) return static_cast<const std::byte*>(data);
  TRY(device.to_device(room, data, bytes));
  return static_cast<const std::byte*>(room);
}

}  // namespace reform
