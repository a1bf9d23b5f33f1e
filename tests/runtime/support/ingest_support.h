// What the tests of ingest share: a tiny model, a temporary store, and everything that a context holds, for comparison.
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

// Different sentences, with characters of one to four bytes, runs of white space, long words and numbers.
// Deterministic. Exactly n_bytes long without a cut character (the last bytes are full stops).
std::string made_text(uint64_t seed, size_t n_bytes);

std::vector<std::string> every_policy();  // the names in the list

// Everything about a context that a user could notice, as bytes. Two contexts are equal if these are.
struct Snapshot {
  ContextInfo info;
  std::vector<int32_t> ids;
  std::vector<int64_t> begin_bytes;
  std::string rows;              // embeddings
  std::vector<int64_t> at;       // where the checkpoints stand, in tokens
  std::string checkpoints;       // their parts: names and bytes
  std::string append_start;      // where an append would go on, and with what state (JSON)
  std::string fixed_settings;    // JSON
  std::string answer, passages;  // of one question, with scores
};
// Checks that only the name, the id, dates and the number of files differ, if anything.
void check_same(const Snapshot& a, const Snapshot& b);

class IngestBench {
 public:
  // kFenced: the CPU's kernels on a device whose memory the host cannot see. kGpu: a GPU, if there is one.
  enum class Memory { kHost, kFenced, kGpu };
  // Only for a fenced device.
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
  // Like ingest(), but from files, or into another bench's store.
  Result<IngestResult> ingest_file(const std::string& name, const std::string& text, const IngestOptions& options);
  Result<IngestResult> ingest_files(const std::string& name, const std::vector<std::string>& texts,
                                    const IngestOptions& options, const IngestProgressCallback& progress = {},
                                    const CancelToken* cancel = nullptr);
  Result<IngestResult> ingest_into(Store& store, const std::string& name, const std::string& text,
                                   const IngestOptions& options);
  // The same, stopped when chunk `chunk` begins (counted within this call). False if it came to its end first.
  bool ingest_stopped(const std::string& name, const std::vector<std::string>& texts, const IngestOptions& options,
                      int chunk);
  // The same from a file, so that reading the text never waits.
  bool file_stopped(const std::string& name, const std::string& text, const IngestOptions& options, int chunk);
  std::string file_path(int i) const;  // of the i-th text that came in a file
  Snapshot snapshot(const std::string& name);
  Engine& engine() { return *engine_; }
  // From now on the heads file holds this.
  void use_heads(const std::string& json);
  // From now on the model runs on `device`, which has memory of its own.
  void move_to(std::unique_ptr<Device> device, WeightPlace place = WeightPlace::kAuto);
  Store& store() { return *store_; }

 private:
  std::filesystem::path dir_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Store> store_;
  int n_sources_ = 0, n_files_ = 0;  // so that each has a name of its own
};

// The same text as three contexts with equal snapshots: "joined" at once, "grown" by an append with the options
// `append`, and "resumed" after a stop.
void ingest_three_ways(IngestBench& bench, const IngestOptions& options, IngestOptions append);

}  // namespace reform::test
