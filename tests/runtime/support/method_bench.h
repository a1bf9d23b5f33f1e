// What the tests of the method share: the golden data of its plain form, and a Compressor with all it needs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "runtime/compress/compress.h"
#include "runtime/model/gguf.h"

namespace reform::test {

// A file of tests/golden: what scripts/make_method_golden.py or make_pages_golden.py writes.
struct Golden {
  nlohmann::json head;
  std::map<std::string, std::vector<float>> floats;
  std::map<std::string, std::vector<int32_t>> ints;
};
Golden read_golden(const std::string& name = "method_tiny_qwen2.bin");

// The tiny model with its ops, and the options of the golden data. Change `options` before compressor() is called.
struct MethodBench {
  MemoryAccount account;
  ThreadPool pool{2};
  std::unique_ptr<Device> device;
  std::unique_ptr<Gguf> gguf;
  std::unique_ptr<Model> model;
  Buffer<std::byte> workspace;
  std::unique_ptr<Ops> ops;
  Heads heads;
  CompressOptions options;

  MethodBench(const Golden& golden, const std::string& policy, Isa isa);
  MethodBench(const Golden& golden, const std::string& policy, KvView::Type kv_type,
              const std::function<std::unique_ptr<Device>(MethodBench&)>& make_device);

  Site site() { return {*device, ops.get(), account}; }
  std::unique_ptr<Compressor> compressor();
  // Runs text[begin, end) in chunks and returns its rows. If nothing is carried, the text's end also makes the cache
  // that questions are asked on.
  std::vector<std::byte> ingest(Compressor& c, const std::vector<int32_t>& text, size_t begin, size_t end) const;
  std::vector<std::byte> ingest(Compressor& c, const std::vector<int32_t>& text) const {
    return ingest(c, text, 0, text.size());
  }
};

// What a checkpoint of `c` holds: names and bytes in order.
using SavedParts = std::vector<std::pair<std::string, std::vector<std::byte>>>;
SavedParts saved_parts(Compressor& c);
void load_parts(Compressor& c, const SavedParts& parts);

}  // namespace reform::test
