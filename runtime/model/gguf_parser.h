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

// Names in sorted order with their places. (Not a hash table: names are chosen by whoever wrote the file.)
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

// Fills `tables`; label stands for the path in messages.
Status parse(std::span<const std::byte> image, const std::string& label, Tables& tables);

// An integer of any kind, or a boolean as 0 and 1; false where a uint64 does not fit.
bool read_int(Kind kind, const std::byte* at, int64_t& value);

}  // namespace reform::gguf
