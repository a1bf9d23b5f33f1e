// What a Store is made of; private to runtime/.
#pragma once

#include <reform/cancel.h>
#include <reform/store.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/memory.h"
#include "runtime/engine/engine_impl.h"
#include "storage/store/context_store.h"

namespace reform {

struct Store::Impl {
  std::string dir;
  MemoryAccount account;
  std::unique_ptr<ContextStore> contexts;
  std::atomic<bool> disk_remarked = false;
};

// Logs, once for each store, why its disk is not accessed in the fastest way, if that is so.
void remark_disk(const Engine::Impl& engine, Store::Impl& store);

// The contexts that a full store has evicted since the last call. Each is logged to `log`, if set.
std::vector<Eviction> take_evictions(ContextStore& contexts, const LogCallback& log);

ContextInfo describe(const ContextEntry& entry);

// Passes progress on, and stops the work once it is cancelled. Both must outlive it.
ContextProgressFn watched(const BytesProgressCallback& progress, const CancelToken* cancel);

}  // namespace reform
