// What the C API's calls share: the handles, and the conversion of a Status or an exception to a code.
#pragma once

#include <reform/cancel.h>
#include <reform/engine.h>
#include <reform/exception_status.h>
#include <reform/reform.h>
#include <reform/store.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

struct reform_cancel {
  reform::CancelToken token;
};

struct reform_engine {
  std::unique_ptr<reform::Engine> engine;
  reform_model_info info = {};
};

struct reform_store {
  std::unique_ptr<reform::Store> store;
};

namespace reform {

// Keeps the message for reform_last_error().
reform_code report(const Status& status) noexcept;

// Runs fn() -> Status; whatever it throws becomes a code.
template <class Fn>
reform_code guarded(Fn&& fn) noexcept {
  try {
    return report(fn());
  } catch (...) {
    return report(exception_status());
  }
}

inline std::string text_or_empty(const char* text) { return text == nullptr ? "" : text; }

inline std::vector<std::string> texts_of(const char* const* texts, size_t n) {
  std::vector<std::string> all;
  for (size_t i = 0; i < n; ++i) all.push_back(text_or_empty(texts[i]));
  return all;
}

inline Status need(const void* argument, const char* name) {
  if (argument != nullptr) return {};
  return {Code::kUsage, std::string(name) + " is NULL"};
}

// Sets the first `size` bytes, which are all that the caller knows of the struct.
template <class Options>
void init_options(Options* options, size_t size, Options defaults) {
  static_assert(std::is_trivially_copyable_v<Options> && offsetof(Options, size) == 0);
  if (options == nullptr || size < sizeof(size_t)) return;
  defaults.size = size;
  std::memset(static_cast<void*>(options), 0, size);
  std::memcpy(static_cast<void*>(options), &defaults, std::min(size, sizeof(Options)));
}

template <class Options>
Status read_options(const Options* given, Options* full) {
  if (given == nullptr) return {};
  if (given->size < sizeof(size_t)) return {Code::kUsage, "options without a size: call their _init function first"};
  std::memcpy(static_cast<void*>(full), given, std::min(given->size, sizeof(Options)));
  return {};
}

inline const CancelToken* token_of(const reform_cancel* cancel) { return cancel == nullptr ? nullptr : &cancel->token; }

}  // namespace reform
