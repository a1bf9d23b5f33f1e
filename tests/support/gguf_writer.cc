#include "tests/support/gguf_writer.h"

#include <cstring>
#include <fstream>

#include "base/try.h"

namespace reform {

void GgufWriter::add_tensor(const std::string& name, QuantType type, const std::vector<int64_t>& shape,
                            std::span<const std::byte> data) {
  pad_to(data_, alignment());
  add_tensor_info(name, geometry(type).gguf_id, {shape.begin(), shape.end()}, data_.size());
  data_.append(reinterpret_cast<const char*>(data.data()), data.size());
}

void GgufWriter::add_tensor_f32(const std::string& name, const std::vector<int64_t>& shape,
                                std::span<const float> values) {
  add_tensor(name, QuantType::kF32, shape, std::as_bytes(values));
}

std::string GgufWriter::bytes() const {
  return GgufHeader::bytes(claimed_tensors_.value_or(n_tensors()), claimed_entries_.value_or(n_entries())) + data_;
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
