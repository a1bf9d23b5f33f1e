// How many bytes something needs, for a reader who then gives that many.
#pragma once

#include <cstdint>
#include <string>

namespace reform {

// As format_bytes() writes them, but rounded up: "47.4 MiB" of 47.31.
std::string format_bytes_up(int64_t bytes);

}  // namespace reform
