// What the tests of ingest share: a tiny model, a store that goes away, and everything a context holds, to compare.
#pragma once

#include <reform/ask.h>
#include <reform/ingest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "runtime/model/weights/plan.h"

namespace reform::test {

// Sentences that differ, with characters of one to four bytes, runs of white space, long words and numbers.
// Deterministic; exactly n_bytes long, cut at no character's middle (the last bytes are full stops).
std::string made_text(uint64_t seed, size_t n_bytes);

std::vector<std::string> every_policy();  // the names in the list

// All of a context that a user could ever notice, as bytes: what two contexts are equal by.
struct Snapshot {
  ContextInfo info;
  std::vector<int32_t> ids;
  std::vector<int64_t> begin_bytes;
  std::string rows;              // embeddings
  std::vector<int64_t> at;       // where the checkpoints stand, in tokens
  std::string checkpoints;       // their parts: names and bytes
  std::string append_start;      // where and with what an append would go on (JSON)
  std::string fixed_settings;    // JSON
  std::string answer, passages;  // of one question, with scores
};
// Nothing but what may differ (name, id, dates, how many files the text came in) may differ.
void check_same(const Snapshot& a, const Snapshot& b);

class IngestBench {
 public:
  // kFenced: the CPU's kernels on a device that the host cannot look into. kGpu: where there is one.
  enum class Memory { kHost, kFenced, kGpu };
  // Of a fenced device.
  struct Weights {
    WeightPlace place = WeightPlace::kAuto;
    int64_t cap_bytes = 0;  // of the device; 0: none
  };
  // `model`: of tiny_names(), synthetic:NAME:TYPE, or a path that ends in .gguf
  explicit IngestBench(int n_threads = 2, const std::string& model = "qwen2", Memory memory = Memory::kHost)
      : IngestBench(n_threads, model, memory, Weights{}) {}
  IngestBench(int n_threads, const std::string& model, Memory memory, const Weights& weights);
  ~IngestBench();
  IngestBench(const IngestBench&) = delete;
  IngestBench& operator=(const IngestBench&) = delete;

  // Chunks of 64 tokens, a cache of 64, an overlap of 16.
  static IngestOptions options(const std::string& policy);

  Result<IngestResult> ingest(const std::string& name, const std::vector<std::string>& texts,
                              const IngestOptions& options, const IngestProgressCallback& progress = {},
                              const CancelToken* cancel = nullptr);
  // From files, and into another bench's store.
  Result<IngestResult> ingest_file(const std::string& name, const std::string& text, const IngestOptions& options);
  Result<IngestResult> ingest_files(const std::string& name, const std::vector<std::string>& texts,
                                    const IngestOptions& options, const IngestProgressCallback& progress = {},
                                    const CancelToken* cancel = nullptr);
  Result<IngestResult> ingest_into(Store& store, const std::string& name, const std::string& text,
                                   const IngestOptions& options);
  // The same, stopped when chunk `chunk` begins (counted within this call); false if it came to its end before.
  bool ingest_stopped(const std::string& name, const std::vector<std::string>& texts, const IngestOptions& options,
                      int chunk);
  // The same from a file, where nobody need wait for the text.
  bool file_stopped(const std::string& name, const std::string& text, const IngestOptions& options, int chunk);
  std::string file_path(int i) const;  // of the i-th text that came in a file
  Snapshot snapshot(const std::string& name);
  Engine& engine() { return *engine_; }
  // From now on the model runs there, which is a device with memory of its own.
  void move_to(std::unique_ptr<Device> device, WeightPlace place = WeightPlace::kAuto);
  Store& store() { return *store_; }

 private:
  std::filesystem::path dir_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Store> store_;
  int n_sources_ = 0, n_files_ = 0;  // so that each has a name of its own
};

}  // namespace reform::test
