// Archives in memory: exports that must succeed, and imports.
#pragma once

#include <reform/archive.h>

#include <string>

namespace reform::test {

std::string exported(Store& store, const std::string& name);
Result<ArchiveResult> import_bytes(Store& store, const std::string& bytes, const ImportOptions& options = {});

}  // namespace reform::test
