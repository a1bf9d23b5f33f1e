// What an Engine is made of; private to runtime/.
#pragma once

#include <reform/engine.h>
#include <reform/ingest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "kernels/device.h"
#include "runtime/compress/heads.h"
#include "runtime/engine/memory_plan.h"
#include "runtime/model/chat_template.h"
#include "runtime/model/gguf.h"
#include "runtime/model/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

// The ops of one job and the workspace under them.
struct Kernels {
  Buffer<std::byte> workspace;
  std::unique_ptr<Ops> ops;
};

// One call at a time; who waits for its turn looks at its token meanwhile.
class Turns {
 public:
  class Turn {
   public:
    explicit Turn(Turns* turns) : turns_(turns) {}
    Turn(Turn&& o) noexcept : turns_(std::exchange(o.turns_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn();

   private:
    Turns* turns_;
  };
  Result<Turn> take(const CancelToken* cancel);  // kCancelled
  int64_t n_waiting() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable free_;
  int64_t n_waiting_ = 0;
  bool taken_ = false;
};

struct Engine::Impl {
  EngineOptions options;
  LogCallback log;
  MemoryAccount account;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Device> device;
  std::unique_ptr<Gguf> gguf;
  std::unique_ptr<Model> model;  // its weights may be in the device's memory
  std::unique_ptr<Tokenizer> tokenizer;
  Result<ChatTemplate> chat = Status{Code::kUsage, "no chat template was read"};
  Isa isa = Isa::kPortable;
  ModelInfo info;
  Turns turns;                    // of calls that run the model
  Heads heads;                    // once resolved
  int64_t host_weight_bytes = 0;  // reserved for weights in `account`

  // What memory() says of a GPU, from any thread.
  mutable std::mutex gpu_mutex;
  MemoryPlan gpu_plan;  // in each category the largest so far
  WeightReport gpu_weights;

  explicit Impl(int64_t cap_bytes) : account(cap_bytes) {}

  KvView::Type kv_type() const { return isa == Isa::kRef ? KvView::Type::kF32 : KvView::Type::kF16; }
  const char* kv_type_name() const { return kv_type() == KvView::Type::kF32 ? "f32" : "f16"; }  // in settings
  bool fp8_products() const { return options.gpu_products == "fp8"; }  // of an ingest; the device can, or did not open
  const char* cap_flag() const { return device->is_host() ? "--max-host-memory" : "--max-gpu-memory"; }  // for advice
  std::string cache_dir() const;
  Status take_weights();
  // What a decode repeats, made ready when the engine is opened, so that the driver takes its memory then.
  Status prepare_decode();
  // Before a job's buffers are made: room for them, and weights where it will find them, which is said.
  Status make_room(const JobPlan& plan, const WeightUse& use, const std::string& advice, const CancelToken* cancel);
  void note_gpu_plan(MemoryPlan there);  // weights are as they are arranged
  Result<Kernels> make_kernels(const OpLimits& limits);
  // The heads a new context's embeddings are made of: the user's file, the shipped ones, the cache, or a search.
  Result<Heads> resolve_heads(const IngestProgressCallback& progress, const CancelToken* cancel);
  void remark(LogLevel level, const std::string& line) const {
    if (log) log(level, line);
  }
};

// A search on synthetic text (compress/head_search.h), whatever is known already.
Result<Heads> search_heads(Engine::Impl& engine, const IngestProgressCallback& progress, const CancelToken* cancel);

MemoryReport memory_report(const Engine::Impl& engine, const MemoryAccount* store);

}  // namespace reform
