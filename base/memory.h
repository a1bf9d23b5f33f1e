// All large memory comes from here. Every big buffer has an account and a category, so that the plan, the progress line
// and --json can say where memory is, and so that a cap holds.
//
// Thread-safety: any thread may use a MemoryAccount; a Buffer belongs to one owner.
// Lifetime: an account must outlive its buffers.
#pragma once

#include <reform/status.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <utility>

#include "base/try.h"

namespace reform {

enum class MemoryCategory : uint8_t {
  kWeights,      // the model's tensors, mapped or read
  kKvCache,      // compressed caches and the recompute cache
  kActivations,  // hidden states and what a layer needs
  kWorkspace,    // the kernels' packed panels and tiles
  kIndex,        // embedding blocks being written or scored
  kCheckpoint,   // a cache on its way to or from the disk
  kTokens,       // token ids, byte offsets, tokenizer tables
  kStore,        // RocksDB's memtables and block cache
  kCount
};

const char* name(MemoryCategory category);  // "weights", "kv_cache", …: the keys in --json; stable

// An account's memory, if it is not the host's heap. Such an account may be used by one thread at a time.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  virtual void* allocate_zeroed(int64_t bytes) = 0;       // 64-byte aligned; nullptr if refused
  virtual void give_back(void* data, int64_t bytes) = 0;  // with the same `bytes`
};

class MemoryAccount {
 public:
  // cap_bytes 0: no cap. The source must outlive what is allocated from it.
  explicit MemoryAccount(int64_t cap_bytes = 0, MemorySource* source = nullptr)
      : cap_bytes_(cap_bytes), source_(source) {}
  MemoryAccount(const MemoryAccount&) = delete;
  MemoryAccount& operator=(const MemoryAccount&) = delete;

  // Counts `bytes`. kMemoryCap, without counting, if they would exceed the cap.
  Status reserve(MemoryCategory category, int64_t bytes);
  void release(MemoryCategory category, int64_t bytes);
  // Reserves and allocates zeroed memory. kMemoryCap also if the system refuses it.
  Result<void*> allocate(MemoryCategory category, int64_t bytes);
  void free(MemoryCategory category, void* data, int64_t bytes);

  int64_t current_bytes(MemoryCategory category) const;
  int64_t peak_bytes(MemoryCategory category) const;
  int64_t current_total_bytes() const { return total_.load(); }
  int64_t peak_total_bytes() const { return peak_total_.load(); }
  int64_t cap_bytes() const { return cap_bytes_; }

 private:
  const int64_t cap_bytes_;
  MemorySource* const source_;
  std::atomic<int64_t> current_[size_t(MemoryCategory::kCount)] = {};
  std::atomic<int64_t> peak_[size_t(MemoryCategory::kCount)] = {};
  std::atomic<int64_t> total_ = 0, peak_total_ = 0;
};

// Bytes counted in an account for as long as it lives: of memory that somebody else holds. Move-only.
class Reservation {
 public:
  Reservation() = default;
  static Result<Reservation> create(MemoryAccount& account, MemoryCategory category, int64_t bytes) {
    TRY(account.reserve(category, bytes));
    return Reservation(account, category, bytes);
  }
  ~Reservation() {
    if (account_ != nullptr) account_->release(category_, bytes_);
  }
  Reservation(Reservation&& o) noexcept
      : account_(std::exchange(o.account_, nullptr)), category_(o.category_), bytes_(o.bytes_) {}
  Reservation& operator=(Reservation&& o) noexcept {
    std::swap(account_, o.account_), std::swap(category_, o.category_), std::swap(bytes_, o.bytes_);
    return *this;
  }

 private:
  Reservation(MemoryAccount& account, MemoryCategory category, int64_t bytes)
      : account_(&account), category_(category), bytes_(bytes) {}
  MemoryAccount* account_ = nullptr;
  MemoryCategory category_ = MemoryCategory::kCount;
  int64_t bytes_ = 0;
};

// Peak resident set of this process since it started, from /proc; 0 if unknown.
int64_t process_peak_rss_bytes();

// An accounted, 64-byte aligned, zeroed array of trivially copyable T, in the account's memory. Move-only.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  static Result<Buffer> create(MemoryAccount& account, MemoryCategory category, int64_t n_elems) {
    Buffer b;
    b.bytes_ = (n_elems * int64_t(sizeof(T)) + 63) / 64 * 64;
    if (b.bytes_ == 0) return b;
    TRY_ASSIGN(void* const data, account.allocate(category, b.bytes_));
    b.data_ = static_cast<T*>(data);
    b.account_ = &account;
    b.category_ = category;
    b.size_ = n_elems;
    return b;
  }
  ~Buffer() { reset(); }
  Buffer(Buffer&& o) noexcept { swap(o); }
  Buffer& operator=(Buffer&& o) noexcept {
    if (this != &o) {
      reset();
      swap(o);
    }
    return *this;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }
  std::span<T> span() { return {data_, size_t(size_)}; }
  std::span<const T> span() const { return {data_, size_t(size_)}; }
  void reset() {
    if (account_ != nullptr) account_->free(category_, data_, bytes_);
    data_ = nullptr, account_ = nullptr, size_ = 0, bytes_ = 0;
  }

 private:
  void swap(Buffer& o) {
    std::swap(data_, o.data_), std::swap(size_, o.size_), std::swap(bytes_, o.bytes_);
    std::swap(account_, o.account_), std::swap(category_, o.category_);
  }
  T* data_ = nullptr;
  int64_t size_ = 0, bytes_ = 0;
  MemoryAccount* account_ = nullptr;
  MemoryCategory category_ = MemoryCategory::kCount;
};

void* allocate_aligned_zeroed(int64_t bytes);  // 64-byte aligned; release with std::free; nullptr if refused

}  // namespace reform
