// Writes the part of a GGUF before its data: metadata and the table of tensors. Checks nothing; the parser does that.
//
//   GgufHeader h;
//   h.add("general.architecture", "llama");
//   h.add("llama.block_count", uint32_t{2});
//   h.add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
//   h.add_tensor_info("output_norm.weight", geometry(type).gguf_id, {64}, /*offset=*/0);
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

class GgufHeader {
 public:
  explicit GgufHeader(uint32_t version = 3) : version_(version) {}

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
  // Any number as the kind and any bytes as the value.
  void add_raw(const std::string& key, uint32_t kind, const std::string& value_bytes);

  // shape[0] is the contiguous dimension. The offset counts from where the data begins.
  void add_tensor_info(const std::string& name, uint32_t type_number, const std::vector<uint64_t>& shape,
                       uint64_t offset);

  // The alignment of the data. It is in the metadata only if the caller adds general.alignment (uint32_t).
  void set_alignment(uint64_t alignment) { alignment_ = alignment; }
  uint64_t alignment() const { return alignment_; }

  // All bytes before the data.
  std::string bytes() const { return bytes(n_tensors_, n_entries_); }

 protected:
  std::string bytes(uint64_t claimed_tensors, uint64_t claimed_entries) const;
  uint64_t n_tensors() const { return n_tensors_; }
  uint64_t n_entries() const { return n_entries_; }

 private:
  uint32_t version_;
  uint64_t alignment_ = 32;
  uint64_t n_entries_ = 0, n_tensors_ = 0;
  std::string entries_, infos_;
};

// Appends zeros up to the next multiple of `alignment`.
void pad_to(std::string& bytes, uint64_t alignment);

}  // namespace reform
