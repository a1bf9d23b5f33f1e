// TRY and TRY_ASSIGN return a failed Status to the caller; CHECK ends the process on a broken invariant.
#pragma once

#include <reform/status.h>

#include <cstdio>
#include <cstdlib>

#define REFORM_CONCAT_INNER(a, b) a##b
#define REFORM_CONCAT(a, b) REFORM_CONCAT_INNER(a, b)

// TRY(status_or_result_expression);
#define TRY(expr)                                                                           \
  do {                                                                                      \
    if (auto try_status = ::reform::as_status((expr)); !try_status.ok()) return try_status; \
  } while (0)

// TRY_ASSIGN(auto x, result_expression);
#define TRY_ASSIGN(decl, expr) TRY_ASSIGN_NAMED(REFORM_CONCAT(try_result_, __COUNTER__), decl, expr)
#define TRY_ASSIGN_NAMED(name, decl, expr) \
  auto name = (expr);                      \
  if (!name.ok()) return name.status();    \
  decl = std::move(name).value()

// Aborts in every build. For bugs of ours, never for bad input. (A test that includes Catch2 first keeps Catch2's
// CHECK.)
#ifndef CHECK
#define CHECK(condition)                                                                              \
  do {                                                                                                \
    if (!(condition)) {                                                                               \
      std::fprintf(stderr, "reform: broken invariant: %s (%s:%d)\n", #condition, __FILE__, __LINE__); \
      std::abort();                                                                                   \
    }                                                                                                 \
  } while (0)
#endif

namespace reform {
inline Status as_status(Status status) { return status; }
template <class T>
Status as_status(const Result<T>& result) {
  return result.status();
}
}  // namespace reform
