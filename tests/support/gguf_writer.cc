#include "tests/support/gguf_writer.h"

#include <cstring>
#include <fstream>
#include <type_traits>

#include "base/try.h"

namespace reform {
namespace {

template <class T>
std::string raw(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

std::string text(const std::string& value) { return raw(uint64_t(value.size())) + value; }

// The number of a C++ type's kind in a GGUF.
template <class T>
constexpr uint32_t kKindOf = std::is_same_v<T, uint8_t>    ? 0
                             : std::is_same_v<T, int8_t>   ? 1
                             : std::is_same_v<T, uint16_t> ? 2
                             : std::is_same_v<T, int16_t>  ? 3
                             : std::is_same_v<T, uint32_t> ? 4
                             : std::is_same_v<T, int32_t>  ? 5
                             : std::is_same_v<T, float>    ? 6
                             : std::is_same_v<T, bool>     ? 7
                             : std::is_same_v<T, uint64_t> ? 10
                             : std::is_same_v<T, int64_t>  ? 11
                                                           : 12;
static_assert(kKindOf<double> == 12);
constexpr uint32_t kText = 8, kArray = 9;

template <class T>
std::string array_of(const std::vector<T>& values) {
  std::string out = raw(kKindOf<T>) + raw(uint64_t(values.size()));
  for (const T value : values) out += raw(value);
  return out;
}

void pad(std::string& bytes, uint64_t alignment) {
  while (alignment != 0 && bytes.size() % alignment != 0) bytes += '\0';
}

}  // namespace

void GgufWriter::add_raw(const std::string& key, uint32_t kind, const std::string& value_bytes) {
  entries_ += text(key) + raw(kind) + value_bytes;
  ++n_entries_;
}

void GgufWriter::add(const std::string& key, uint8_t v) { add_raw(key, kKindOf<uint8_t>, raw(v)); }
void GgufWriter::add(const std::string& key, int8_t v) { add_raw(key, kKindOf<int8_t>, raw(v)); }
void GgufWriter::add(const std::string& key, uint16_t v) { add_raw(key, kKindOf<uint16_t>, raw(v)); }
void GgufWriter::add(const std::string& key, int16_t v) { add_raw(key, kKindOf<int16_t>, raw(v)); }
void GgufWriter::add(const std::string& key, uint32_t v) { add_raw(key, kKindOf<uint32_t>, raw(v)); }
void GgufWriter::add(const std::string& key, int32_t v) { add_raw(key, kKindOf<int32_t>, raw(v)); }
void GgufWriter::add(const std::string& key, uint64_t v) { add_raw(key, kKindOf<uint64_t>, raw(v)); }
void GgufWriter::add(const std::string& key, int64_t v) { add_raw(key, kKindOf<int64_t>, raw(v)); }
void GgufWriter::add(const std::string& key, float v) { add_raw(key, kKindOf<float>, raw(v)); }
void GgufWriter::add(const std::string& key, double v) { add_raw(key, kKindOf<double>, raw(v)); }
void GgufWriter::add(const std::string& key, bool v) { add_raw(key, kKindOf<bool>, raw(v)); }
void GgufWriter::add(const std::string& key, const std::string& v) { add_raw(key, kText, text(v)); }
void GgufWriter::add(const std::string& key, const std::vector<int32_t>& v) { add_raw(key, kArray, array_of(v)); }
void GgufWriter::add(const std::string& key, const std::vector<uint32_t>& v) { add_raw(key, kArray, array_of(v)); }
void GgufWriter::add(const std::string& key, const std::vector<float>& v) { add_raw(key, kArray, array_of(v)); }
void GgufWriter::add(const std::string& key, const std::vector<bool>& v) { add_raw(key, kArray, array_of(v)); }

void GgufWriter::add(const std::string& key, const std::vector<std::string>& values) {
  std::string bytes = raw(kText) + raw(uint64_t(values.size()));
  for (const std::string& value : values) bytes += text(value);
  add_raw(key, kArray, bytes);
}

void GgufWriter::add_tensor(const std::string& name, QuantType type, const std::vector<int64_t>& shape,
                            std::span<const std::byte> data) {
  pad(data_, alignment_);
  add_tensor_info(name, geometry(type).gguf_id, {shape.begin(), shape.end()}, data_.size());
  data_.append(reinterpret_cast<const char*>(data.data()), data.size());
}

void GgufWriter::add_tensor_f32(const std::string& name, const std::vector<int64_t>& shape,
                                std::span<const float> values) {
  add_tensor(name, QuantType::kF32, shape, std::as_bytes(values));
}

void GgufWriter::add_tensor_info(const std::string& name, uint32_t type_number, const std::vector<uint64_t>& shape,
                                 uint64_t offset) {
  infos_ += text(name) + raw(uint32_t(shape.size()));
  for (const uint64_t extent : shape) infos_ += raw(extent);
  infos_ += raw(type_number) + raw(offset);
  ++n_tensors_;
}

std::string GgufWriter::bytes() const {
  std::string out = "GGUF" + raw(version_);
  out += raw(claimed_tensors_.value_or(n_tensors_)) + raw(claimed_entries_.value_or(n_entries_));
  out += entries_ + infos_;
  if (n_tensors_ > 0) pad(out, alignment_);
  return out + data_;
}

GgufWriter::Image::Image(const std::string& bytes) : words_((bytes.size() + 7) / 8), n_bytes_(bytes.size()) {
  if (n_bytes_ > 0) std::memcpy(words_.data(), bytes.data(), n_bytes_);
}

void GgufWriter::write_file(const std::string& path) const {
  const std::string image = bytes();
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(image.data(), std::streamsize(image.size()));
  file.flush();
  CHECK(file.good());
}

}  // namespace reform
