// Versions a program may want to print or check.
#pragma once

namespace reform {

inline constexpr const char* kVersion = "0.1.0";
inline constexpr int kStoreFormatVersion = 1;  // of contexts on disk (docs/FORMAT.md)
inline constexpr int kJsonSchemaVersion = 1;   // of --json (docs/JSON.md)

}  // namespace reform
