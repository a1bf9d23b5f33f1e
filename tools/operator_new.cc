// The operators new of the command. mimalloc's own are written in C: where there is no memory they abort, without a
// word and without asking the new-handler. These end the process as docs/CLI.md says, in any thread, of any library,
// and also before main(). Those that must not throw stay mimalloc's, as does operator delete.
#include <reform/status.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "tools/sudden_end.h"

namespace {

void* or_end(void* memory) {
  if (memory == nullptr) reform::tool::end_out_of_memory();
  return memory;
}

void* aligned(std::size_t bytes, std::align_val_t alignment) {
  const auto unit = std::size_t(alignment);
  if (bytes > SIZE_MAX - unit) return nullptr;
  return std::aligned_alloc(unit, (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit);
}

}  // namespace

void* operator new(std::size_t bytes) { return or_end(std::malloc(bytes)); }
void* operator new[](std::size_t bytes) { return or_end(std::malloc(bytes)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return or_end(aligned(bytes, alignment)); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return or_end(aligned(bytes, alignment)); }
