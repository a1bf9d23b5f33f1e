#include "tools/serve/prompt_locks.h"

#include <chrono>

namespace reform::tool {
namespace {

constexpr std::chrono::milliseconds kLockPoll{100};

}  // namespace

std::optional<PromptLocks::Lock> PromptLocks::take(const std::string& key, const CancelToken& cancel) {
  std::unique_lock lock(mutex_);
  while (held_[key].is_looked_for) {
    if (cancel.cancelled()) return std::nullopt;
    freed_.wait_for(lock, kLockPoll);
  }
  held_[key].is_looked_for = true;
  return Lock(this, key);
}

bool PromptLocks::Lock::wait_until_unasked(const CancelToken& cancel) {
  std::unique_lock lock(locks_->mutex_);
  while (locks_->held_[key_].n_asking > 0 && !cancel.cancelled()) locks_->freed_.wait_for(lock, kLockPoll);
  return !cancel.cancelled();
}

void PromptLocks::Lock::ask() {
  const std::lock_guard lock(locks_->mutex_);
  Holders& holders = locks_->held_[key_];
  holders.is_looked_for = false;
  ++holders.n_asking;
  asks_ = true;
  locks_->freed_.notify_all();
}

PromptLocks::Lock::~Lock() {
  if (locks_ == nullptr) return;
  const std::lock_guard lock(locks_->mutex_);
  Holders& holders = locks_->held_[key_];
  if (asks_) {
    --holders.n_asking;
  } else {
    holders.is_looked_for = false;
  }
  if (holders.n_asking == 0 && !holders.is_looked_for) locks_->held_.erase(key_);
  locks_->freed_.notify_all();
}

}  // namespace reform::tool
