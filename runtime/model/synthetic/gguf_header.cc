#include "runtime/model/synthetic/gguf_header.h"

#include <cstring>
#include <type_traits>

#include "runtime/model/gguf_format.h"

namespace reform {
namespace {

using gguf::Kind;

template <class T>
std::string raw(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

std::string text(const std::string& value) { return raw(uint64_t(value.size())) + value; }

// The number of a C++ type's kind in a GGUF.
template <class T>
constexpr Kind kKindOf = std::is_same_v<T, uint8_t>    ? Kind::kU8
                         : std::is_same_v<T, int8_t>   ? Kind::kI8
                         : std::is_same_v<T, uint16_t> ? Kind::kU16
                         : std::is_same_v<T, int16_t>  ? Kind::kI16
                         : std::is_same_v<T, uint32_t> ? Kind::kU32
                         : std::is_same_v<T, int32_t>  ? Kind::kI32
                         : std::is_same_v<T, float>    ? Kind::kF32
                         : std::is_same_v<T, bool>     ? Kind::kBool
                         : std::is_same_v<T, uint64_t> ? Kind::kU64
                         : std::is_same_v<T, int64_t>  ? Kind::kI64
                                                       : Kind::kF64;
static_assert(kKindOf<double> == Kind::kF64);

template <class T>
constexpr uint32_t kNumberOf = uint32_t(kKindOf<T>);
constexpr uint32_t kText = uint32_t(Kind::kString), kArray = uint32_t(Kind::kArray);

template <class T>
std::string array_of(const std::vector<T>& values) {
  std::string out = raw(kNumberOf<T>) + raw(uint64_t(values.size()));
  for (const T value : values) out += raw(value);
  return out;
}

}  // namespace

void pad_to(std::string& bytes, uint64_t alignment) {
  if (alignment != 0) bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
}

void GgufHeader::add_raw(const std::string& key, uint32_t kind, const std::string& value_bytes) {
  entries_ += text(key) + raw(kind) + value_bytes;
  ++n_entries_;
}

void GgufHeader::add(const std::string& key, uint8_t v) { add_raw(key, kNumberOf<uint8_t>, raw(v)); }
void GgufHeader::add(const std::string& key, int8_t v) { add_raw(key, kNumberOf<int8_t>, raw(v)); }
void GgufHeader::add(const std::string& key, uint16_t v) { add_raw(key, kNumberOf<uint16_t>, raw(v)); }
void GgufHeader::add(const std::string& key, int16_t v) { add_raw(key, kNumberOf<int16_t>, raw(v)); }
void GgufHeader::add(const std::string& key, uint32_t v) { add_raw(key, kNumberOf<uint32_t>, raw(v)); }
void GgufHeader::add(const std::string& key, int32_t v) { add_raw(key, kNumberOf<int32_t>, raw(v)); }
void GgufHeader::add(const std::string& key, uint64_t v) { add_raw(key, kNumberOf<uint64_t>, raw(v)); }
void GgufHeader::add(const std::string& key, int64_t v) { add_raw(key, kNumberOf<int64_t>, raw(v)); }
void GgufHeader::add(const std::string& key, float v) { add_raw(key, kNumberOf<float>, raw(v)); }
void GgufHeader::add(const std::string& key, double v) { add_raw(key, kNumberOf<double>, raw(v)); }
void GgufHeader::add(const std::string& key, bool v) { add_raw(key, kNumberOf<bool>, raw(v)); }
void GgufHeader::add(const std::string& key, const std::string& v) { add_raw(key, kText, text(v)); }
void GgufHeader::add(const std::string& key, const std::vector<int32_t>& v) { add_raw(key, kArray, array_of(v)); }
void GgufHeader::add(const std::string& key, const std::vector<uint32_t>& v) { add_raw(key, kArray, array_of(v)); }
void GgufHeader::add(const std::string& key, const std::vector<float>& v) { add_raw(key, kArray, array_of(v)); }
void GgufHeader::add(const std::string& key, const std::vector<bool>& v) { add_raw(key, kArray, array_of(v)); }

void GgufHeader::add(const std::string& key, const std::vector<std::string>& values) {
  std::string bytes = raw(kText) + raw(uint64_t(values.size()));
  for (const std::string& value : values) bytes += text(value);
  add_raw(key, kArray, bytes);
}

void GgufHeader::add_tensor_info(const std::string& name, uint32_t type_number, const std::vector<uint64_t>& shape,
                                 uint64_t offset) {
  infos_ += text(name) + raw(uint32_t(shape.size()));
  for (const uint64_t extent : shape) infos_ += raw(extent);
  infos_ += raw(type_number) + raw(offset);
  ++n_tensors_;
}

std::string GgufHeader::bytes(uint64_t claimed_tensors, uint64_t claimed_entries) const {
  std::string out = "GGUF" + raw(version_) + raw(claimed_tensors) + raw(claimed_entries) + entries_ + infos_;
  if (n_tensors_ > 0) pad_to(out, alignment_);
  return out;
}

}  // namespace reform
