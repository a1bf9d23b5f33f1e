// Makes whole GGUF images in memory: tiny models for tests, or wrong ones if a test needs them. It checks nothing.
//
//   GgufWriter w;                              // metadata as runtime/model/synthetic/gguf_header.h has it
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
#include "runtime/model/synthetic/gguf_header.h"

namespace reform {

class GgufWriter : public GgufHeader {
 public:
  explicit GgufWriter(uint32_t version = 3) : GgufHeader(version) {}

  // shape[0] is the contiguous dimension. The tensors' data follow in the order of the calls, each at the next multiple
  // of the alignment.
  void add_tensor(const std::string& name, QuantType type, const std::vector<int64_t>& shape,
                  std::span<const std::byte> data);
  void add_tensor_f32(const std::string& name, const std::vector<int64_t>& shape, std::span<const float> values);

  // The header claims these counts instead of the real ones.
  void claim_tensors(uint64_t n) { claimed_tensors_ = n; }
  void claim_entries(uint64_t n) { claimed_entries_ = n; }

  std::string bytes() const;
  // The same bytes, aligned for reading tensors in place.
  class Image {
   public:
    explicit Image(const std::string& bytes);
    operator std::span<const std::byte>() const& { return std::as_bytes(std::span(words_)).first(n_bytes_); }
    operator std::span<const std::byte>() const&& = delete;  // the span would outlive the bytes

   private:
    std::vector<uint64_t> words_;
    size_t n_bytes_;
  };
  Image image() const { return Image(bytes()); }
  void write_file(const std::string& path) const;  // aborts if it cannot

 private:
  std::optional<uint64_t> claimed_tensors_, claimed_entries_;
  std::string data_;
};

}  // namespace reform
