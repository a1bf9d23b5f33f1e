// What a Store is made of; private to runtime/.
#pragma once

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

// Says, once for each store, why its disk is not reached the fastest way, if so.
void remark_disk(const Engine::Impl& engine, Store::Impl& store);

// What has gone since the last call because the store was full, each said to `log` if there is one.
std::vector<Eviction> take_evictions(ContextStore& contexts, const LogCallback& log);

ContextInfo describe(const ContextEntry& entry);

}  // namespace reform
