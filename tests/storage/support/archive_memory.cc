#include "tests/storage/support/archive_memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace reform::test {

ByteSink append_to(std::string& bytes) {
  return [&bytes](std::span<const std::byte> more) -> Status {
    bytes.append(reinterpret_cast<const char*>(more.data()), more.size());
    return {};
  };
}

ByteSource source_of(std::string bytes) {
  return [bytes = std::move(bytes), at = size_t{0}, call = 0](std::span<std::byte> buffer) mutable -> Result<int64_t> {
    const size_t n = std::min({buffer.size(), bytes.size() - at, size_t(1 + 977 * (call++ % 7))});
    std::memcpy(buffer.data(), bytes.data() + at, n);
    at += n;
    return int64_t(n);
  };
}

}  // namespace reform::test
