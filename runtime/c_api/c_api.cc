// The C API: translates to and from the C++ API and lets no exception out.
#include <reform/ask.h>
#include <reform/generate.h>
#include <reform/ingest.h>
#include <reform/reform.h>
#include <reform/version.h>

#include <istream>
#include <memory>
#include <streambuf>
#include <string>
#include <vector>

#include "base/try.h"
#include "runtime/c_api/calls.h"
#include "runtime/c_api/results.h"
#include "runtime/engine/device_choice.h"

static_assert(REFORM_UNAVAILABLE == int(reform::Code::kUnavailable) &&
                  REFORM_CANCELLED == int(reform::Code::kCancelled),
              "reform_code mirrors reform::Code");

namespace reform {
namespace {

thread_local std::string g_last_error;

}  // namespace

reform_code report(const Status& status) noexcept {
  if (!status.ok()) {
    try {
      g_last_error = status.message;
    } catch (...) {
      g_last_error.clear();
    }
  }
  return reform_code(status.code);
}

namespace {

// A C read callback as a stream; an error makes the stream bad().
class CallbackInput : public std::streambuf {
 public:
  CallbackInput(reform_read_fn read, void* user) : read_(read), user_(user), buffer_(1 << 16) {}

 protected:
  int_type underflow() override {
    const ptrdiff_t n = read_(user_, buffer_.data(), buffer_.size());
    if (n == 0) return traits_type::eof();
    if (n < 0 || size_t(n) > buffer_.size()) throw std::ios_base::failure("read callback");
    setg(buffer_.data(), buffer_.data(), buffer_.data() + n);
    return traits_type::to_int_type(buffer_[0]);
  }

 private:
  reform_read_fn read_;
  void* user_;
  std::vector<char> buffer_;
};

template <class Options>
SamplingOptions sampling_of(const Options& o) {
  SamplingOptions s;
  s.temperature = o.temperature, s.top_k = o.top_k, s.top_p = o.top_p, s.min_p = o.min_p;
  s.seed = o.seed, s.max_new_tokens = o.max_new_tokens, s.ignore_end = o.ignore_end != 0;
  return s;
}

template <class Options>
void set_sampling(Options& o) {
  const SamplingOptions s;
  o.temperature = s.temperature, o.top_k = s.top_k, o.top_p = s.top_p, o.min_p = s.min_p;
  o.seed = s.seed, o.max_new_tokens = s.max_new_tokens;
}

TextCallback text_callback(reform_text_fn text, void* user) {
  if (text == nullptr) return {};
  return [text, user](const std::string& piece) { return text(user, piece.data(), piece.size()) != 0; };
}

template <class Options>
Result<ChatOptions> chat_of(const Options& o) {
  ChatOptions chat{text_or_empty(o.chat_variables), text_or_empty(o.chat_date)};
  if (o.think < REFORM_THINK_AUTO || o.think > REFORM_THINK_OFF) {
    return Status{Code::kUsage, "think is " + std::to_string(o.think) +
                                    "; it must be REFORM_THINK_AUTO, REFORM_THINK_ON or REFORM_THINK_OFF"};
  }
  static_assert(int(Think::kAuto) == REFORM_THINK_AUTO && int(Think::kOn) == REFORM_THINK_ON &&
                int(Think::kOff) == REFORM_THINK_OFF);
  chat.think = Think(o.think);
  chat.think_tokens = o.think_tokens;
  return chat;
}

reform_engine_options engine_defaults() {
  const EngineOptions d;
  reform_engine_options o = {};
  o.chat_template = o.heads_file = o.isa = o.cache_dir = o.device = o.gpu_weights = o.cublas_lt_file = o.gpu_products =
      o.gpu_attention = "";
  o.max_host_memory_bytes = d.max_host_memory_bytes, o.max_gpu_memory_bytes = d.max_gpu_memory_bytes;
  o.n_threads = d.n_threads;
  return o;
}

// A build without CUDA refuses options for GPUs, as the command does.
Status check_gpu_options(const EngineOptions& o) {
  const std::vector<std::string> given = given_gpu_options(o);
  if (cuda_built_in() || given.empty()) return {};
  return {Code::kUsage, given.front() + ": this reform was built without CUDA (docs/CUDA.md)"};
}

reform_ingest_options ingest_defaults() {
  static const IngestOptions d;
  reform_ingest_options o = {};
  o.policy = d.policy.c_str(), o.depth = "";
  o.chunk_tokens = d.chunk_tokens, o.cache_tokens = d.cache_tokens;
  o.sink_tokens = d.sink_tokens, o.overlap_tokens = d.overlap_tokens;
  o.checkpoint_seconds = d.checkpoint_seconds;
  o.lossy = d.lossy, o.encoding = "", o.full_depth = d.full_depth, o.pages = d.pages;
  return o;
}

reform_ask_options ask_defaults() {
  const AskOptions d;
  reform_ask_options o = {};
  set_sampling(o);
  o.system = "";
  o.gather_tokens = d.gather_tokens, o.edge_tokens = d.edge_tokens, o.pool_window = d.pool_window;
  o.gather_score = "", o.rounds = d.rounds;
  o.method = "reform", o.chunk_tokens = d.chunk_tokens, o.all_chunks = d.all_chunks;
  o.chat_variables = o.chat_date = "", o.think_tokens = d.chat.think_tokens;
  return o;
}

reform_generate_options generate_defaults() {
  reform_generate_options o = {};
  set_sampling(o);
  o.system = o.chat_variables = o.chat_date = "", o.think_tokens = ChatOptions().think_tokens;
  return o;
}

Result<IngestOptions> ingest_options(const reform_ingest_options& c) {
  IngestOptions o;
  o.policy = text_or_empty(c.policy), o.depth = text_or_empty(c.depth);
  o.chunk_tokens = c.chunk_tokens, o.cache_tokens = c.cache_tokens;
  o.sink_tokens = c.sink_tokens, o.overlap_tokens = c.overlap_tokens;
  o.checkpoint_seconds = c.checkpoint_seconds;
  o.lossy = c.lossy != 0, o.full_depth = c.full_depth != 0, o.pages = c.pages != 0;
  if (c.encoding != nullptr) o.encoding = c.encoding;
  switch (c.on_existing) {
    case REFORM_REFUSE:
      o.on_existing = IngestOptions::OnExisting::kRefuse;
      break;
    case REFORM_APPEND:
      o.on_existing = IngestOptions::OnExisting::kAppend;
      break;
    case REFORM_REPLACE:
      o.on_existing = IngestOptions::OnExisting::kReplace;
      break;
    default:
      return Status{Code::kUsage, "on_existing is " + std::to_string(c.on_existing) +
                                      "; it must be REFORM_REFUSE, REFORM_APPEND or REFORM_REPLACE"};
  }
  return o;
}

IngestProgressCallback progress_callback(const reform_ingest_options& o) {
  if (o.progress == nullptr) return {};
  return [progress = o.progress, user = o.progress_user](const IngestProgress& p) {
    const reform_ingest_progress c = {p.tokens_done, p.tokens_saved, p.tokens_total, p.tokens_per_s,
                                      p.eta_s,       p.host_bytes,   p.phase.c_str()};
    progress(user, &c);
  };
}

}  // namespace
}  // namespace reform

using namespace reform;

extern "C" {

const char* reform_version(void) { return kVersion; }
const char* reform_code_name(reform_code code) { return code_name(Code(code)); }
const char* reform_last_error(void) { return g_last_error.c_str(); }

reform_code reform_cancel_create(reform_cancel** cancel) {
  return guarded([&]() -> Status {
    TRY(need(cancel, "cancel"));
    *cancel = nullptr;
    *cancel = std::make_unique<reform_cancel>().release();
    return {};
  });
}
void reform_cancel_now(reform_cancel* cancel) {
  if (cancel != nullptr) cancel->token.cancel();
}
void reform_cancel_destroy(reform_cancel* cancel) { std::unique_ptr<reform_cancel>{cancel}; }

void reform_engine_options_init(reform_engine_options* options, size_t size) {
  init_options(options, size, engine_defaults());
}

reform_code reform_engine_open(const char* model_path, const reform_engine_options* options, reform_engine** engine) {
  return guarded([&]() -> Status {
    TRY(need(engine, "engine"));
    *engine = nullptr;
    TRY(need(model_path, "model_path"));
    reform_engine_options c = engine_defaults();
    TRY(read_options(options, &c));
    EngineOptions o;
    o.chat_template = text_or_empty(c.chat_template), o.heads_file = text_or_empty(c.heads_file);
    o.isa = text_or_empty(c.isa), o.cache_dir = text_or_empty(c.cache_dir);
    o.device = text_or_empty(c.device), o.max_gpu_memory_bytes = c.max_gpu_memory_bytes;
    o.gpu_weights = text_or_empty(c.gpu_weights), o.cublas_lt_file = text_or_empty(c.cublas_lt_file);
    o.gpu_products = text_or_empty(c.gpu_products), o.gpu_attention = text_or_empty(c.gpu_attention);
    o.n_threads = c.n_threads, o.max_host_memory_bytes = c.max_host_memory_bytes;
    TRY(check_gpu_options(o));
    LogCallback log;
    if (c.log != nullptr) {
      log = [fn = c.log, user = c.log_user](LogLevel level, const std::string& line) {
        fn(user, level == LogLevel::kWarning, line.c_str());
      };
    }
    auto made = std::make_unique<reform_engine>();
    TRY_ASSIGN(made->engine, Engine::open(model_path, o, std::move(log)));
    const ModelInfo& m = made->engine->model();
    made->info = {m.path.c_str(),
                  m.name.c_str(),
                  m.architecture.c_str(),
                  m.fingerprint.c_str(),
                  m.chat_template.c_str(),
                  m.isa.c_str(),
                  m.n_params,
                  m.n_layers,
                  m.d_model,
                  m.n_vocab,
                  m.trained_window_tokens,
                  m.file_bytes};
    *engine = made.release();
    return {};
  });
}
const reform_model_info* reform_engine_model(const reform_engine* engine) {
  return engine == nullptr ? nullptr : &engine->info;
}
void reform_engine_close(reform_engine* engine) { std::unique_ptr<reform_engine>{engine}; }

reform_code reform_store_open(const char* dir, reform_store** store) {
  return guarded([&]() -> Status {
    TRY(need(store, "store"));
    *store = nullptr;
    auto made = std::make_unique<reform_store>();
    TRY_ASSIGN(made->store, Store::open(text_or_empty(dir)));
    *store = made.release();
    return {};
  });
}
const char* reform_store_dir(const reform_store* store) { return store == nullptr ? "" : store->store->dir().c_str(); }
reform_code reform_store_list(reform_store* store, const reform_context_list** list) {
  return guarded([&]() -> Status {
    TRY(need(list, "list"));
    *list = nullptr;
    TRY(need(store, "store"));
    TRY_ASSIGN(auto contexts, store->store->list());
    *list = CContextList::make(std::move(contexts)).release();
    return {};
  });
}
reform_code reform_store_find(reform_store* store, const char* name, const reform_context** context) {
  return guarded([&]() -> Status {
    TRY(need(context, "context"));
    *context = nullptr;
    TRY(need(store, "store"));
    TRY(need(name, "name"));
    TRY_ASSIGN(auto found, store->store->find(name));
    *context = CContext::make(std::move(found)).release();
    return {};
  });
}
reform_code reform_store_remove(reform_store* store, const char* name) {
  return guarded([&]() -> Status {
    TRY(need(store, "store"));
    TRY(need(name, "name"));
    return store->store->remove(name);
  });
}
reform_code reform_store_set_pinned(reform_store* store, const char* name, int32_t pinned) {
  return guarded([&]() -> Status {
    TRY(need(store, "store"));
    TRY(need(name, "name"));
    return store->store->set_pinned(name, pinned != 0);
  });
}
reform_code reform_store_set_limit(reform_store* store, int64_t max_bytes, int32_t evict_when_full) {
  return guarded([&]() -> Status {
    TRY(need(store, "store"));
    return store->store->set_limit({max_bytes, evict_when_full != 0});
  });
}
void reform_store_close(reform_store* store) { std::unique_ptr<reform_store>{store}; }
void reform_context_list_free(const reform_context_list* list) { free_result<CContextList>(list); }
void reform_context_free(const reform_context* context) { free_result<CContext>(context); }

void reform_ingest_options_init(reform_ingest_options* options, size_t size) {
  init_options(options, size, ingest_defaults());
}

reform_code reform_ingest(reform_engine* engine, reform_store* store, const char* name,
                          const reform_ingest_source* sources, size_t n_sources, const reform_ingest_options* options,
                          const reform_ingest_result** result) {
  return guarded([&]() -> Status {
    TRY(need(result, "result"));
    *result = nullptr;
    TRY(need(engine, "engine"));
    TRY(need(store, "store"));
    TRY(need(name, "name"));
    TRY(need(sources, "sources"));
    reform_ingest_options c = ingest_defaults();
    TRY(read_options(options, &c));
    TRY_ASSIGN(const IngestOptions o, ingest_options(c));
    std::vector<std::unique_ptr<CallbackInput>> buffers;
    std::vector<std::unique_ptr<std::istream>> streams;
    std::vector<IngestSource> inputs;
    for (const reform_ingest_source* source = sources; source != sources + n_sources; ++source) {
      inputs.push_back({text_or_empty(source->path), nullptr});
      if (source->read == nullptr) continue;
      buffers.push_back(std::make_unique<CallbackInput>(source->read, source->read_user));
      streams.push_back(std::make_unique<std::istream>(buffers.back().get()));
      inputs.back().stream = streams.back().get();
    }
    TRY_ASSIGN(auto r,
               ingest(*engine->engine, *store->store, name, inputs, o, progress_callback(c), token_of(c.cancel)));
    *result = CIngestResult::make(std::move(r)).release();
    return {};
  });
}
void reform_ingest_result_free(const reform_ingest_result* result) { free_result<CIngestResult>(result); }

void reform_ask_options_init(reform_ask_options* options, size_t size) { init_options(options, size, ask_defaults()); }

reform_code reform_ask(reform_engine* engine, reform_store* store, const char* const* contexts, size_t n_contexts,
                       const char* question, const reform_ask_options* options, const reform_ask_result** result) {
  return guarded([&]() -> Status {
    TRY(need(result, "result"));
    *result = nullptr;
    TRY(need(engine, "engine"));
    TRY(need(store, "store"));
    TRY(need(contexts, "contexts"));
    TRY(need(question, "question"));
    reform_ask_options c = ask_defaults();
    TRY(read_options(options, &c));
    AskOptions o;
    o.sampling = sampling_of(c);
    o.system = text_or_empty(c.system);
    o.gather_tokens = c.gather_tokens, o.edge_tokens = c.edge_tokens, o.pool_window = c.pool_window;
    o.gather_score = text_or_empty(c.gather_score), o.rounds = c.rounds;
    o.method = text_or_empty(c.method), o.chunk_tokens = c.chunk_tokens, o.all_chunks = c.all_chunks != 0;
    TRY_ASSIGN(o.chat, chat_of(c));
    AskCallbacks callbacks;
    callbacks.on_text = text_callback(c.text, c.text_user);
    callbacks.on_reasoning = text_callback(c.reasoning, c.text_user);
    TRY_ASSIGN(auto r, ask(*engine->engine, *store->store, texts_of(contexts, n_contexts), question, o, callbacks,
                           token_of(c.cancel)));
    *result = CAskResult::make(std::move(r)).release();
    return {};
  });
}
void reform_ask_result_free(const reform_ask_result* result) { free_result<CAskResult>(result); }

const char* reform_explain_empty(const char* empty_because) { return explain_empty(text_or_empty(empty_because)); }

void reform_generate_options_init(reform_generate_options* options, size_t size) {
  init_options(options, size, generate_defaults());
}

reform_code reform_generate(reform_engine* engine, const char* prompt, const reform_generate_options* options,
                            const reform_generate_result** result) {
  return guarded([&]() -> Status {
    TRY(need(result, "result"));
    *result = nullptr;
    TRY(need(engine, "engine"));
    TRY(need(prompt, "prompt"));
    reform_generate_options c = generate_defaults();
    TRY(read_options(options, &c));
    GenerateOptions o;
    o.sampling = sampling_of(c);
    o.chat = c.chat != 0;
    o.system = text_or_empty(c.system);
    TRY_ASSIGN(o.chat_options, chat_of(c));
    TRY_ASSIGN(auto r, generate(*engine->engine, prompt, o,
                                {text_callback(c.text, c.text_user), text_callback(c.reasoning, c.text_user)},
                                token_of(c.cancel)));
    *result = CGenerateResult::make(std::move(r)).release();
    return {};
  });
}
void reform_generate_result_free(const reform_generate_result* result) { free_result<CGenerateResult>(result); }

}  // extern "C"
