// The frame around every stored value: version, kind, block number, length, and a checksum that also covers whose value
// it is.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "storage/format/schema.h"

namespace reform {

// Which context a message is about.
struct ContextTag {
  std::string id;
  std::string name;          // empty while unknown
  std::string text() const;  // context "name" (id)
};

// The value to store for `payload`. version: the first one whose readers understand it.
std::string frame_value(std::string_view context_id, schema::Kind kind, uint64_t block,
                        std::span<const std::byte> payload, uint16_t version = schema::kFormatVersion);

// The payload inside `value` (a view into it). kCorrupt, naming context, kind and block, if the value is damaged,
// belongs elsewhere or has a newer format.
Result<std::span<const std::byte>> unframe_value(const ContextTag& tag, schema::Kind kind, uint64_t block,
                                                 std::string_view value);

// "embedding block 4096", for messages.
std::string describe_block(schema::Kind kind, uint64_t block);

// kCorrupt, naming both versions, unless this program reads `version`. The ledger and the store's directory use it too.
Status check_format(const std::string& what, uint64_t version);

uint64_t checksum_bytes(std::string_view bytes);  // XXH3-64

}  // namespace reform
