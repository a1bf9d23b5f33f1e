// What a Store is made of; private to runtime/.
#pragma once

#include <reform/store.h>

#include <memory>
#include <string>

#include "base/memory.h"
#include "storage/context_store.h"

namespace reform {

struct Store::Impl {
  std::string dir;
  MemoryAccount account;
  std::unique_ptr<ContextStore> contexts;
};

ContextInfo describe(const ContextEntry& entry);

}  // namespace reform
