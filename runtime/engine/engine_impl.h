// What an Engine is made of; private to runtime/.
#pragma once

#include <reform/engine.h>
#include <reform/ingest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "kernels/device.h"
#include "runtime/chat/chat_template.h"
#include "runtime/chat/markers.h"
#include "runtime/compress/head_set.h"
#include "runtime/engine/memory_plan.h"
#include "runtime/engine/turns.h"
#include "runtime/gather/token_table.h"
#include "runtime/model/gguf.h"
#include "runtime/model/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/model/weights/source.h"
#include "runtime/recompute/decode.h"
#include "runtime/recompute/prompt_cache.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

// A job, the ops it calls and their workspace. The job is destroyed first.
template <class Job>
struct Session {
  Buffer<std::byte> workspace;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Job> job;

  Session() = default;
  Session(Session&&) noexcept = default;
  Session& operator=(Session&& o) noexcept {
    job = std::move(o.job), ops = std::move(o.ops), workspace = std::move(o.workspace);
    return *this;
  }
  Job* operator->() { return job.get(); }
  Job& operator*() { return *job; }
};

// What a job needs besides its buffers.
struct SessionNeeds {
  OpLimits limits;     // of its ops
  WeightUse weights;   // the part of the model that it uses
  MemoryPlan beside;   // host memory of what is not made with the job
  JobPlan meanwhile;   // of later jobs on the same arrangement of weights, which run without this one
  std::string advice;  // for the message, if the job does not fit
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
  Reservation tokenizer_tables;
  std::unique_ptr<PromptCache> prompts;     // nullptr: none are kept
  std::unique_ptr<TokenTable> token_table;  // nullptr until a gather needs it
  Result<ChatTemplate> chat = Status{Code::kUsage, "no chat template was read"};
  bool chat_is_ready = false;  // chat_for_prompt() was called
  Isa isa = Isa::kPortable;
  ModelInfo info;
  Turns turns;  // for calls that run the model
  const std::function<void()> pause = [this] { turns.pause(); };
  HeadSets heads;              // empty until resolved
  double head_search_s = 120;  // for choosing an unknown model's heads at its first ingest, as estimated

  // What memory() reports about a GPU, from any thread.
  mutable std::mutex gpu_mutex;
  MemoryPlan gpu_plan;  // the largest so far in each category
  WeightReport gpu_weights;

  explicit Impl(int64_t cap_bytes) : account(cap_bytes) {}

  KvView::Type kv_type() const { return isa == Isa::kRef ? KvView::Type::kF32 : KvView::Type::kF16; }
  const char* kv_type_name() const { return kv_type() == KvView::Type::kF32 ? "f32" : "f16"; }  // in settings
  bool fp8_products() const { return options.gpu_products == "fp8"; }  // for ingest; the device then supports them
  const char* cap_flag() const { return device->is_host() ? "--max-host-memory" : "--max-gpu-memory"; }  // for advice
  std::string cache_dir() const;
  // The chat template, for a call that needs one, during its turn. The first call finds what ends an answer, and says
  // what is odd about the template; each says what is odd about what is asked of it.
  Result<const ChatTemplate*> chat_for_prompt(const ChatOptions& asked);
  Status take_weights();
  // Prepares the step that a decode repeats. Called when the engine is opened, so that the driver takes its memory
  // then.
  Status prepare_decode();
  // The one way in which a job gets its memory. `make(site)` makes the job. It runs twice, first where memory is
  // only counted, so that the plan cannot differ from what is allocated. The order: the plan is made and checked,
  // weights are arranged (and the user is told where they are), then the ops and the job are made. kMemoryCap comes
  // before any of the job's buffers is allocated.
  template <class Job, class Make>
  Result<Session<Job>> open_session(const SessionNeeds& needs, const Make& make, const CancelToken* cancel) {
    TRY_ASSIGN(JobPlan plan, count_job(*device, needs.limits, make));
    plan.cover(needs.meanwhile);
    plan.host += needs.beside;
    for (;;) {
      const Status fits = fit_job(plan, needs, cancel);
      if (fits.ok()) return make_session<Job>(needs.limits, make, cancel);
      if (fits.code != Code::kMemoryCap || !make_room(cancel)) return fits;
    }
  }
  // The same without a plan, for callers that have made room already; another call may have taken it meanwhile.
  template <class Job, class Make>
  Result<Session<Job>> make_session(const OpLimits& limits, const Make& make, const CancelToken* cancel = nullptr) {
    for (;;) {
      auto session = try_session<Job>(limits, make);
      if (session.status().code != Code::kMemoryCap || !make_room(cancel)) return session;
    }
  }
  // Of a job that runs all layers.
  SessionNeeds needs_of_all(OpLimits limits, MemoryPlan beside, std::string advice) const;
  // A decode with the whole model, after a prompt of n_prompt_tokens.
  Result<Session<Decoder>> open_decoder(int64_t n_prompt_tokens, const ReplyPlan& reply, const MemoryPlan& beside,
                                        const std::string& advice, const CancelToken* cancel);
  // The heads for a new context's embeddings, of a depth (head_set.h): from the user's file, the shipped ones, the
  // cache, or a search.
  Result<HeadSet> resolve_heads(const std::string& depth, const IngestProgressCallback& progress,
                                const CancelToken* cancel);
  const TokenTable& known_tokens();      // made when a gather first wants it
  void note_gpu_plan(MemoryPlan there);  // call it once weights are arranged
  void remark(LogLevel level, const std::string& line) const {
    if (log) log(level, line);
  }

  // The heads file in the cache directory, where heads that were chosen here are kept.
  std::string kept_heads_path() const;
  // Heads for the paper's score, from a shipped or kept file; no heads if there are none.
  Heads paper_heads() const;
  // Those that ship for this model, and those that were chosen here; empty if there are none or they are damaged.
  HeadSets shipped_sets() const;
  HeadSets kept_sets() const;
  bool keep_heads(const std::string& json) const;  // warns if it cannot

 private:
  Status prepare_chat();
  // For a job that found no memory. False: there is nothing to give up or to wait for.
  bool make_room(const CancelToken* cancel);
  Result<HeadSets> find_heads(const std::string& depth, const IngestProgressCallback& progress,
                              const CancelToken* cancel);
  Result<HeadSets> first_heads(const std::string& depth, const IngestProgressCallback& progress,
                               const CancelToken* cancel);
  template <class Job, class Make>
  Result<Session<Job>> try_session(const OpLimits& limits, const Make& make) {
    Session<Job> session;
    TRY_ASSIGN(session.workspace, make_workspace(limits));
    session.ops = device->make_ops(limits, session.workspace.span());
    TRY_ASSIGN(session.job, make(Site{*device, session.ops.get(), account, &pause}));
    return session;
  }
  Status fit_job(const JobPlan& plan, const SessionNeeds& needs, const CancelToken* cancel);
  Result<Buffer<std::byte>> make_workspace(const OpLimits& limits);
};

MemoryReport memory_report(const Engine::Impl& engine, const MemoryAccount* store);

}  // namespace reform
