// Reads a whole GGUF image into tables, checking everything on the way. Used by Gguf only.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/model/gguf.h"
#include "runtime/model/gguf_format.h"

namespace reform::gguf {

// A metadata value, already checked: `bytes` is exactly the value.
struct Value {
  Kind kind = Kind::kU8;
  std::span<const std::byte> bytes;
};

// Names in sorted order with their places. This is not a hash table, since a hostile file could choose colliding names.
using NameIndex = std::vector<std::pair<std::string_view, size_t>>;
// The name's place, or -1.
int64_t find_name(const NameIndex& index, std::string_view name);

// Everything but `tensors`' names points into the image.
struct Tables {
  std::vector<Gguf::RawEntry> entries;  // file order
  std::vector<Value> values;            // of entries
  std::vector<GgufTensor> tensors;      // file order
  NameIndex keys, tensor_names;
};

// Fills `tables`; `label` replaces the path in messages.
Status parse(std::span<const std::byte> image, const std::string& label, Tables& tables);

// Reads an integer of any kind, or a boolean as 0 or 1. False if the kind is another, or a uint64 does not fit.
bool read_int(Kind kind, const std::byte* at, int64_t& value);

}  // namespace reform::gguf
