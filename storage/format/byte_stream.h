// Bytes on their way to or from a place that the store does not know.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace reform {

// Takes all of `bytes`, or fails.
using ByteSink = std::function<Status(std::span<const std::byte> bytes)>;
// Fills the front of `buffer` and returns how many bytes. 0 only at the end.
using ByteSource = std::function<Result<int64_t>(std::span<std::byte> buffer)>;

}  // namespace reform
