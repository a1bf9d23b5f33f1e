// Any bytes as a GGUF: refused with a message, or readable in every way, with tensors that are what they claim.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/try.h"
#include "kernels/ops.h"
#include "runtime/model/gguf.h"

namespace {

using namespace reform;

void read_metadata(const Gguf& gguf) {
  for (const auto& [key, raw] : gguf.raw_entries()) {
    CHECK(gguf.has(key) && raw.size() >= 5);
    int n_readable = gguf.get_int(key).ok() + gguf.get_float(key).ok() + gguf.get_bool(key).ok();
    if (const auto text = gguf.get_string(key); text.ok()) CHECK(text.value()->size() <= raw.size());
    if (const auto texts = gguf.get_strings(key); texts.ok()) {
      size_t n_bytes = 0;
      for (const std::string_view text : *texts.value()) n_bytes += std::string(text).size();
      CHECK(n_bytes <= raw.size());
    }
    if (const auto ints = gguf.get_ints(key); ints.ok()) CHECK(ints.value()->size() <= raw.size());
    if (const auto floats = gguf.get_floats(key); floats.ok()) CHECK(floats.value()->size() <= raw.size());
    CHECK(n_readable <= 1);
  }
}

void read_tensors(const Gguf& gguf) {
  constexpr int64_t kMaxElems = 1 << 14;  // enough to touch every block of a small file
  std::vector<float> values;
  for (const GgufTensor& tensor : gguf.tensors()) {
    CHECK(gguf.find_tensor(tensor.name) == &tensor);
    int64_t n_elems = 1;
    for (const int64_t extent : tensor.shape) n_elems *= extent;
    CHECK(int64_t(tensor.data.size()) == row_bytes(tensor.type, n_elems));
    if (n_elems > kMaxElems) continue;
    values.resize(size_t(n_elems));
    dequantise(tensor.type, tensor.data.data(), n_elems, values.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto gguf = Gguf::parse(std::as_bytes(std::span(data, size)), "fuzz.gguf");
  if (!gguf.ok()) {
    CHECK(gguf.status().code == Code::kBadModel && gguf.status().message.starts_with("fuzz.gguf: "));
    return 0;
  }
  read_metadata(*gguf.value());
  read_tensors(*gguf.value());
  return 0;
}
