// Numbers formatted for people.
#pragma once

#include <cstdint>
#include <string>

namespace reform {

constexpr int64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;

std::string format_bytes(int64_t bytes);  // "512 B", "1.5 KiB", "37.5 MiB", "1.25 GiB"
std::string format_bytes_up(
    int64_t bytes);  // the same, rounded up, for a reader who then gives that many: "47.4 MiB" of 47.31
std::string format_count(int64_t count);  // "262,144"

}  // namespace reform
