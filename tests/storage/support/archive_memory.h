// Archives in memory.
#pragma once

#include <string>

#include "storage/format/byte_stream.h"

namespace reform::test {

ByteSink append_to(std::string& bytes);
// Hands out the bytes in pieces of uneven length, as a pipe does.
ByteSource source_of(std::string bytes);

}  // namespace reform::test
