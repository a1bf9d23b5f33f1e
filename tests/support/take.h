// What a Result holds, in a test.
#pragma once

#include <reform/status.h>

#include <catch2/catch.hpp>
#include <utility>

namespace reform::test {

// Or the test ends with its message.
template <class T>
T take(Result<T> result) {
  INFO(result.status().message);
  REQUIRE(result.ok());
  return std::move(result).value();
}

}  // namespace reform::test
