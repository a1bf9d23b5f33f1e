#include "tests/runtime/support/archive_bytes.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

namespace reform::test {

std::string exported(Store& store, const std::string& name) {
  std::string bytes;
  ExportTarget to;
  to.sink = [&](const char* more, size_t n) -> Status {
    bytes.append(more, n);
    return {};
  };
  const auto done = export_context(store, name, to);
  INFO(done.status().message);
  REQUIRE(done.ok());
  CHECK(done.value().archive_bytes == int64_t(bytes.size()));
  return bytes;
}

Result<ArchiveResult> import_bytes(Store& store, const std::string& bytes, const ImportOptions& options) {
  size_t at = 0;
  ImportOrigin from{"the bytes", {}};
  from.source = [&](char* buffer, size_t capacity) -> Result<size_t> {
    const size_t n = std::min(capacity, bytes.size() - at);
    std::memcpy(buffer, bytes.data() + at, n);
    at += n;
    return n;
  };
  return import_context(store, from, options);
}

}  // namespace reform::test
