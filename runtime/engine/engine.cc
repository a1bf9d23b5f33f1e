#include <fmt/format.h>
#include <reform/engine.h>
#include <reform/units.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "base/machine.h"
#include "base/memory_room.h"
#include "base/try.h"
#include "runtime/engine/device_choice.h"
#include "runtime/engine/directories.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/engine/machine.h"
#include "runtime/model/fingerprint.h"
#include "runtime/model/judge.h"
#include "runtime/model/synthetic/model.h"
#include "runtime/recompute/decode.h"

namespace reform {
namespace {

int64_t n_params(const Gguf& gguf) {
  int64_t total = 0;
  for (const GgufTensor& t : gguf.tensors()) {
    int64_t n = 1;
    for (const int64_t dim : t.shape) n *= dim;
    total += n;
  }
  return total;
}

Isa chosen_isa(const std::string& wanted) {
  for (const Isa isa : kIsas) {
    if (wanted == name(isa)) return isa;
  }
  return best_isa();
}

// More threads than cores gain nothing, and each pause of one of them holds up the others.
int useful_threads(int asked, const LogCallback& log) {
  const int n_cores = usable_cores();
  if (asked <= n_cores) return asked;
  if (log)
    log(LogLevel::kInfo, fmt::format("{} threads asked for, {} run: as many as there are cores", asked, n_cores));
  return n_cores;
}

// The program itself, its threads and what the kernel keeps for it.
constexpr int64_t kProgramBytes = 16 * kMiB;

// What a user may plan with. How much the machine has available is a guess that --max-host-memory overrules; limits on
// the process and its control group are not.
MemoryRoom room_for(const EngineOptions& options) {
  return options.max_host_memory_bytes > 0 ? limited_room() : memory_room();
}

// Checked before the memory is taken: past some limits the kernel kills. `bytes`: not taken yet.
Status check_room(const EngineOptions& options, int64_t bytes, const std::string& advice) {
  const MemoryRoom room = room_for(options);
  if (bytes <= room.bytes - std::min(room.bytes, kProgramBytes)) return {};
  // Some advice is about the cap, which is not what stands in the way here.
  const std::string or_else = advice.find("--max-host-memory") == std::string::npos ? ", or " + advice : "";
  return {Code::kMemoryCap,
          fmt::format("this needs {} more memory, {} for the program included, and {} are left by {}; raise that{}",
                      format_bytes_up(bytes + kProgramBytes), format_bytes(kProgramBytes), format_bytes(room.bytes),
                      room.limit, or_else)};
}

// The kernel drops the mapped file's pages for others, so a job runs without room for them.
void warn_if_read_again(const Engine::Impl& e) {
  const MemoryRoom room = room_for(e.options);
  if (!e.device->is_host() || e.gguf->is_synthetic() || e.gguf->file_bytes() <= room.bytes) return;
  e.remark(LogLevel::kWarning,
           fmt::format("{} has {}, and {} are left by {}: it will be read from the disk again and "
                       "again, slowly; a smaller model would stay in memory",
                       e.gguf->path(), format_bytes(e.gguf->file_bytes()), format_bytes(room.bytes), room.limit));
}

// What the file says of the model, its tokenizer and its chat template.
Status read_model(Engine::Impl& e) {
  TRY_ASSIGN(e.model, Model::create(*e.gguf));
  TRY_ASSIGN(e.tokenizer, Tokenizer::create(*e.gguf));
  if (e.tokenizer->n_vocab() > e.model->shape().n_vocab) {
    return {Code::kBadModel, fmt::format("{}: the tokenizer has {} tokens, the embedding {} rows", e.gguf->path(),
                                         e.tokenizer->n_vocab(), e.model->shape().n_vocab)};
  }
  e.chat = load_chat_template(*e.gguf, *e.tokenizer, e.options.chat_template);
  return {};
}

// Before the weights, so that a cap that is too small for both is told with the sum.
Status take_tables(Engine::Impl& e) {
  const int64_t bytes = e.tokenizer->table_bytes() + TokenTable::bytes(e.tokenizer->n_vocab());
  MemoryPlan least;
  least[MemoryCategory::kTokens] = bytes;
  if (e.device->is_host()) least[MemoryCategory::kWeights] = e.gguf->file_bytes();
  TRY(least.check(e.options.max_host_memory_bytes,
                  "that is for the model alone: what it does needs more, and says how much; a larger "
                  "--max-host-memory, or a smaller or more quantised model, would fit"));
  TRY_ASSIGN(e.tokenizer_tables, Reservation::create(e.account, MemoryCategory::kTokens, bytes));
  return {};
}

Result<ModelInfo> describe(const Engine::Impl& e) {
  const ModelShape& shape = e.model->shape();
  ModelInfo info;
  info.path = e.gguf->absolute_path();
  TRY_ASSIGN(const auto model_name, e.gguf->get_string("general.name"));
  info.name = model_name ? std::string(*model_name) : std::filesystem::path(info.path).stem().string();
  info.architecture = shape.architecture;
  TRY_ASSIGN(info.fingerprint, cached_fingerprint(*e.gguf, e.cache_dir()));
  if (e.chat.ok()) info.chat_template = e.chat.value().name;
  info.isa = name(e.isa);
  info.device = e.device->is_host() ? "cpu" : e.device->name();
  info.n_params = n_params(*e.gguf);
  info.n_layers = shape.n_layers;
  info.d_model = shape.d_model;
  info.n_vocab = shape.n_vocab;
  info.trained_window_tokens = shape.trained_window_tokens;
  info.file_bytes = e.gguf->file_bytes();
  return info;
}

}  // namespace

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::open(const std::string& model_path, const EngineOptions& options,
                                             LogCallback log) {
  TRY(options.validate());
  auto impl = std::make_unique<Impl>(options.max_host_memory_bytes);
  impl->options = options;
  impl->log = std::move(log);
  TRY_ASSIGN(impl->gguf, Gguf::open(model_path));
  TRY(judge(*impl->gguf, read_model(*impl)));
  // A template that the user named must work. One that we do not know matters only once it is needed.
  if (!options.chat_template.empty() && !impl->chat.ok()) return impl->chat.status();
  impl->isa = chosen_isa(options.isa);
  impl->pool = std::make_unique<ThreadPool>(impl->isa == Isa::kRef ? 1 : useful_threads(options.n_threads, impl->log));
  TRY_ASSIGN(impl->device, open_device(options, impl->isa, *impl->pool, impl->account, impl->log));
  if (const int64_t head_dim = impl->model->shape().head_dim; head_dim > impl->device->max_head_dim()) {
    return Status{Code::kUnavailable,
                  fmt::format("{}: its heads of {} are larger than the {} that {} can take; --device "
                              "cpu runs this model",
                              model_path, head_dim, impl->device->max_head_dim(), impl->device->name())};
  }
  TRY_ASSIGN(impl->info, describe(*impl));
  TRY(take_tables(*impl));
  if (impl->gguf->is_synthetic() && impl->device->is_host())
    TRY(check_room(options, impl->gguf->file_bytes(), "a smaller model, or one of a smaller type, would fit"));
  warn_if_read_again(*impl);
  if (!impl->device->is_host()) impl->turns.never_pause();
  if (impl->device->is_host() && options.prompt_cache_bytes > 0)
    impl->prompts = std::make_unique<PromptCache>(impl->account, options.prompt_cache_bytes);
  TRY(impl->take_weights());
  TRY(impl->prepare_decode());
  if (impl->gguf->is_synthetic()) {
    impl->remark(LogLevel::kInfo, impl->info.name + ": random weights, for measuring only; what it answers is noise");
  }
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

const ModelInfo& Engine::model() const { return impl_->info; }
Result<ChatTemplateText> Engine::chat_template() const {
  TRY(impl_->chat);
  return ChatTemplateText{impl_->chat.value().name, impl_->chat.value().source};
}
MemoryReport Engine::memory() const { return memory_report(*impl_, nullptr); }

Result<const ChatTemplate*> Engine::Impl::chat_for_prompt(const ChatOptions& asked) {
  TRY(chat);
  if (!std::exchange(chat_is_ready, true)) TRY(prepare_chat());
  const std::string problem = thinking_problem(chat.value(), *tokenizer, asked);
  if (!problem.empty()) remark(LogLevel::kWarning, problem);
  return &chat.value();
}

Status Engine::Impl::prepare_chat() {
  const Markers markers = find_markers(chat.value(), *tokenizer);
  // A turn of the model's ends with the token that the template writes there.
  if (markers.turn_end >= 0) {
    tokenizer->set_end(markers.turn_end);
  } else if (!markers.turn_end_text.empty() && options.chat_template.empty()) {
    chat = Status{Code::kUsage, fmt::format("{}: its chat template ends a turn with {}, which is no token of its "
                                            "vocabulary, so an answer would not end; --chat-template names another one",
                                            gguf->path(), markers.turn_end_text)};
    return chat.status();
  }
  if (chat.value().is_base && options.chat_template.empty()) {
    remark(LogLevel::kInfo,
           gguf->path() +
               ": it has no chat template, so it is asked as a model that was not taught to chat: the text, "
               "the question, \"Answer:\"");
  }
  if (!markers.unknown.empty()) {
    remark(LogLevel::kWarning,
           fmt::format("the chat template writes {}: no token of this model's vocabulary, so it is read as "
                       "text; is it the right template?",
                       fmt::join(markers.unknown, ", ")));
  }
  return {};
}

const TokenTable& Engine::Impl::known_tokens() {
  if (token_table == nullptr) token_table = std::make_unique<TokenTable>(*tokenizer);
  return *token_table;
}

// On the CPU weights stay in the file's mapping. A device with memory of its own gets copies of them.
Status Engine::Impl::take_weights() {
  const Status taken = model->move_to(*device, account, parse_weight_place(options.gpu_weights).value());
  if (taken.code == Code::kMemoryCap) {
    return {taken.code, fmt::format("{}: {}; a smaller or more quantised model, or a larger {}, would fit",
                                    gguf->path(), taken.message, cap_flag())};
  }
  TRY(taken);
  note_gpu_plan({});
  return {};
}

// If there is no room for a decode beside all weights, nothing is prepared. Weights are then arranged anew for each
// job, and a decode that has them all resident prepares its own steps.
Status Engine::Impl::prepare_decode() {
  if (device->is_host() || !model->weights().all_resident()) return {};
  SamplingOptions sampling;
  sampling.max_new_tokens = 0;
  const auto make = [&](const Site& site) {
    return Decoder::create(*model, *tokenizer, site, kv_type(), 1, {sampling});
  };
  const OpLimits limits = Decoder::limits(model->shape(), *device, 1, 0);
  TRY_ASSIGN(const JobPlan plan, count_job(*device, limits, make));
  MemoryPlan all = plan.device;
  all += in_use(device->account());
  if (!all.check(device->account().cap_bytes(), "").ok()) return {};
  note_gpu_plan(plan.device);
  auto session = make_session<Decoder>(limits, make);
  if (session.status().code == Code::kMemoryCap) return {};  // free memory is in pieces
  TRY(session);
  const Status prepared = session.value()->prepare_steps();
  return prepared.code == Code::kMemoryCap ? Status{} : prepared;
}

std::string Engine::Impl::cache_dir() const {
  return options.cache_dir.empty() ? default_cache_dir() : options.cache_dir;
}

Status Engine::Impl::fit_job(const JobPlan& plan, const SessionNeeds& needs, const CancelToken* cancel) {
  TRY(check_room(options, plan.host.total_bytes(), needs.advice));
  TRY(plan.fit(*device, model->weights(), needs.weights, account, needs.advice, cancel));
  note_gpu_plan(plan.device);
  const WeightReport& weights = model->weights().report();
  const int64_t n = weights.resident_layers + weights.streamed_layers;
  const double per_second = weights.planned_tokens_per_second;
  const std::string rate = per_second > 0 ? fmt::format("; at most about {:.3g} new tokens a second", per_second) : "";
  if (weights.streamed_layers == 0) {
    if (!rate.empty()) remark(LogLevel::kInfo, fmt::format("all {} layers are on {}{}", n, device->name(), rate));
    return {};
  }
  remark(LogLevel::kInfo,
         fmt::format("{} of the {} layers stay on {}, the rest come from {} each time{}", weights.resident_layers, n,
                     device->name(), weights.place == "host" ? "host memory" : "the file", rate));
  return {};
}

void Engine::Impl::note_gpu_plan(MemoryPlan there) {
  there[MemoryCategory::kWeights] = model->weights().planned_bytes();
  const std::lock_guard lock(gpu_mutex);
  gpu_plan.raise_to(there);
  gpu_weights = model->weights().report();
}

SessionNeeds Engine::Impl::needs_of_all(OpLimits limits, MemoryPlan beside, std::string advice) const {
  return {.limits = limits,
          .weights = use_of_all(model->shape()),
          .beside = beside,
          .meanwhile = {},
          .advice = std::move(advice)};
}

Result<Session<Decoder>> Engine::Impl::open_decoder(int64_t n_prompt_tokens, const ReplyPlan& reply,
                                                    const MemoryPlan& beside, const std::string& advice,
                                                    const CancelToken* cancel) {
  const SessionNeeds needs =
      needs_of_all(Decoder::limits(model->shape(), *device, n_prompt_tokens, reply.max_tokens()), beside, advice);
  const auto make = [&](const Site& site) {
    return Decoder::create(*model, *tokenizer, site, kv_type(), n_prompt_tokens, reply);
  };
  TRY_ASSIGN(auto session, open_session<Decoder>(needs, make, cancel));
  session->use_prompts(prompts.get());
  return session;
}

bool Engine::Impl::make_room(const CancelToken* cancel) {
  return (prompts != nullptr && prompts->drop_oldest()) || turns.wait_for_memory(cancel);
}

Result<Buffer<std::byte>> Engine::Impl::make_workspace(const OpLimits& limits) {
  return Buffer<std::byte>::create(device->account(), MemoryCategory::kWorkspace, device->workspace_bytes(limits));
}

MemoryReport memory_report(const Engine::Impl& engine, const MemoryAccount* store) {
  const MemoryAccount* const gpu = engine.device->is_host() ? nullptr : &engine.device->account();
  MemoryReport report;
  report.peak_host_bytes = process_peak_rss_bytes();
  report.cap_host_bytes = engine.account.cap_bytes();
  if (gpu != nullptr) {
    report.peak_gpu_bytes = gpu->peak_total_bytes();
    report.gpu_arena_bytes = gpu->cap_bytes();
    report.gpu_outside_bytes = engine.device->outside_bytes();
  }
  const std::lock_guard lock(engine.gpu_mutex);
  if (gpu != nullptr) report.gpu_weights = engine.gpu_weights;
  for (size_t c = 0; c < size_t(MemoryCategory::kCount); ++c) {
    const auto category = MemoryCategory(c);
    const auto sum = [&](auto bytes) {
      return bytes(engine.account) + (store == nullptr ? 0 : bytes(*store)) + (gpu == nullptr ? 0 : bytes(*gpu));
    };
    report.peak_bytes.emplace_back(name(category), sum([&](const MemoryAccount& a) { return a.peak_bytes(category); }));
    report.current_bytes.emplace_back(name(category),
                                      sum([&](const MemoryAccount& a) { return a.current_bytes(category); }));
    if (gpu == nullptr) continue;
    report.gpu_categories.push_back({name(category), engine.gpu_plan.bytes[c], gpu->peak_bytes(category)});
  }
  return report;
}

}  // namespace reform
