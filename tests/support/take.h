// take(): the value of a Result, in a test.
#pragma once

#include <reform/status.h>

#include <catch2/catch.hpp>
#include <utility>

namespace reform::test {

// Returns the value. If there is none, the test fails with the Status's message.
template <class T>
T take(Result<T> result) {
  INFO(result.status().message);
  REQUIRE(result.ok());
  return std::move(result).value();
}

}  // namespace reform::test
