// Who may change a context of a long prompt. Prompts that begin alike may share a context. One of them at a time looks
// for it, and makes it grow once nobody asks it; any number ask it.
#pragma once

#include <reform/cancel.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace reform::tool {

class PromptLocks {
 public:
  class Lock {
   public:
    Lock(Lock&& o) noexcept : locks_(std::exchange(o.locks_, nullptr)), key_(std::move(o.key_)), asks_(o.asks_) {}
    Lock& operator=(Lock&&) = delete;
    ~Lock();
    bool wait_until_unasked(const CancelToken& cancel);  // false: stopped meanwhile
    void ask();                                          // has looked; the context does not change while this lives

   private:
    friend class PromptLocks;
    Lock(PromptLocks* locks, std::string key) : locks_(locks), key_(std::move(key)) {}
    PromptLocks* locks_;
    std::string key_;
    bool asks_ = false;
  };
  // To look. `key`: equal for prompts that begin alike. nullopt: stopped meanwhile.
  std::optional<Lock> take(const std::string& key, const CancelToken& cancel);

 private:
  struct Holders {
    int n_asking = 0;
    bool is_looked_for = false;
  };
  std::mutex mutex_;
  std::condition_variable freed_;
  std::map<std::string, Holders> held_;
};

}  // namespace reform::tool
