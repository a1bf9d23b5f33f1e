#include "base/memory.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace reform {
namespace {

constexpr const char* kNames[] = {"weights", "kv_cache",   "activations", "workspace",
                                  "index",   "checkpoint", "tokens",      "store"};
static_assert(std::size(kNames) == size_t(MemoryCategory::kCount), "a new category needs a name");

void raise_to(std::atomic<int64_t>& peak, int64_t value) {
  int64_t seen = peak.load();
  while (value > seen && !peak.compare_exchange_weak(seen, value)) {
  }
}

}  // namespace

const char* name(MemoryCategory category) { return kNames[size_t(category)]; }

Status MemoryAccount::reserve(MemoryCategory category, int64_t bytes) {
  const int64_t total = total_.fetch_add(bytes) + bytes;
  if (cap_bytes_ > 0 && total > cap_bytes_) {
    total_.fetch_sub(bytes);
    return {Code::kMemoryCap,
            fmt::format("{} more for {} would pass the memory cap: {} of {} are in use; a cap of {} or more is needed",
                        format_bytes(bytes), name(category), format_bytes(total - bytes), format_bytes(cap_bytes_),
                        format_bytes_up(total))};
  }
  raise_to(peak_total_, total);
  raise_to(peak_[size_t(category)], current_[size_t(category)].fetch_add(bytes) + bytes);
  return {};
}

void MemoryAccount::release(MemoryCategory category, int64_t bytes) {
  current_[size_t(category)].fetch_sub(bytes);
  total_.fetch_sub(bytes);
}

Result<void*> MemoryAccount::allocate(MemoryCategory category, int64_t bytes) {
  TRY(reserve(category, bytes));
  void* const data = source_ != nullptr ? source_->allocate_zeroed(bytes) : allocate_aligned_zeroed(bytes);
  if (data != nullptr) return data;
  release(category, bytes);
  return Status{Code::kMemoryCap, fmt::format("out of memory: {} could not be had in one piece", format_bytes(bytes))};
}

void MemoryAccount::free(MemoryCategory category, void* data, int64_t bytes) {
  if (source_ != nullptr) {
    source_->give_back(data, bytes);
  } else {
    std::free(data);
  }
  release(category, bytes);
}

int64_t MemoryAccount::current_bytes(MemoryCategory category) const { return current_[size_t(category)].load(); }
int64_t MemoryAccount::peak_bytes(MemoryCategory category) const { return peak_[size_t(category)].load(); }

int64_t process_peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * kKiB;
  }
  return 0;
}

void* allocate_aligned_zeroed(int64_t bytes) {
  void* p = std::aligned_alloc(64, size_t(bytes));
  if (p != nullptr) std::memset(p, 0, size_t(bytes));
  return p;
}

}  // namespace reform
