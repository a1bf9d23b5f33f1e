// Writes GGUF images in memory: tiny models for tests, and, where a test wants it, wrong ones. Nothing is checked.
//
//   GgufWriter w;
//   w.add("general.architecture", "llama");
//   w.add("llama.block_count", uint32_t{2});
//   w.add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
//   w.add_tensor_f32("output_norm.weight", {64}, values);
//   w.write_file(path);                        // or: const auto image = w.image(); Gguf::parse(image, "test")
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/quant_type.h"

namespace reform {

class GgufWriter {
 public:
  explicit GgufWriter(uint32_t version = 3) : version_(version) {}

  // Metadata; the C++ type chooses the kind. A `const char*` is text.
  void add(const std::string& key, uint8_t value);
  void add(const std::string& key, int8_t value);
  void add(const std::string& key, uint16_t value);
  void add(const std::string& key, int16_t value);
  void add(const std::string& key, uint32_t value);
  void add(const std::string& key, int32_t value);
  void add(const std::string& key, uint64_t value);
  void add(const std::string& key, int64_t value);
  void add(const std::string& key, float value);
  void add(const std::string& key, double value);
  void add(const std::string& key, bool value);
  void add(const std::string& key, const char* value) { add(key, std::string(value)); }
  void add(const std::string& key, const std::string& value);
  void add(const std::string& key, const std::vector<std::string>& values);
  void add(const std::string& key, const std::vector<int32_t>& values);
  void add(const std::string& key, const std::vector<uint32_t>& values);
  void add(const std::string& key, const std::vector<float>& values);
  void add(const std::string& key, const std::vector<bool>& values);
  // Any kind's number with any bytes as the value.
  void add_raw(const std::string& key, uint32_t kind, const std::string& value_bytes);

  // shape[0] is the contiguous dimension. Data follows in this order, each tensor at the next multiple of alignment.
  void add_tensor(const std::string& name, QuantType type, const std::vector<int64_t>& shape,
                  std::span<const std::byte> data);
  void add_tensor_f32(const std::string& name, const std::vector<int64_t>& shape, std::span<const float> values);
  // A description as given: any type number, any offset; adds no data.
  void add_tensor_info(const std::string& name, uint32_t type_number, const std::vector<uint64_t>& shape,
                       uint64_t offset);

  // What the data section is aligned to; goes into the metadata only if the caller adds general.alignment (uint32_t).
  void set_alignment(uint64_t alignment) { alignment_ = alignment; }
  // What the header claims in place of the real counts.
  void claim_tensors(uint64_t n) { claimed_tensors_ = n; }
  void claim_entries(uint64_t n) { claimed_entries_ = n; }

  std::string bytes() const;
  // The same, at an address aligned for reading tensors in place.
  class Image {
   public:
    explicit Image(const std::string& bytes);
    operator std::span<const std::byte>() const& { return std::as_bytes(std::span(words_)).first(n_bytes_); }
    operator std::span<const std::byte>() const&& = delete;  // it would outlive the bytes

   private:
    std::vector<uint64_t> words_;
    size_t n_bytes_;
  };
  Image image() const { return Image(bytes()); }
  void write_file(const std::string& path) const;  // aborts where it cannot

 private:
  uint32_t version_;
  uint64_t alignment_ = 32;
  uint64_t n_entries_ = 0, n_tensors_ = 0;
  std::optional<uint64_t> claimed_tensors_, claimed_entries_;
  std::string entries_, infos_, data_;
};

}  // namespace reform
