#include <fmt/format.h>
#include <reform/ask.h>

#include <algorithm>
#include <memory>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/compress/compress.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/gather/gather.h"
#include "runtime/gather/scorer.h"
#include "runtime/jobs/settings.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/recompute/decode.h"
#include "runtime/recompute/prompt.h"
#include "runtime/text/sources.h"

namespace reform {
namespace {

struct OpenContext {
  std::unique_ptr<ContextData> data;
  ContextSettings settings;
  std::vector<SourceFile> files;
  int64_t edge_tokens = 0;  // per side

  int64_t n_tokens() const { return data->meta().n_tokens; }
};

OpLimits score_limits(const EmbeddingLayout& layout, int64_t n_question_tokens) {
  return {.max_tokens = n_question_tokens,
          .max_cols = layout.row_bytes(),
          .max_kv_len = 1,
          .n_heads = layout.n_heads,
          .n_kv_heads = 1,
          .head_dim = layout.head_dim};
}

MemoryPlan plan_scoring(const Device& device, const EmbeddingLayout& layout, int64_t n_question_tokens) {
  MemoryPlan plan;
  plan[MemoryCategory::kWorkspace] = device.workspace_bytes(score_limits(layout, n_question_tokens));
  plan[MemoryCategory::kIndex] =
      Scorer::device_bytes(layout, n_question_tokens, block_tokens_for(int32_t(layout.row_bytes())));
  return plan;
}

class AskJob {
 public:
  AskJob(Engine::Impl& engine, Store::Impl& store, const std::vector<std::string>& names, const std::string& question,
         const AskOptions& options, const AskCallbacks& callbacks, const CancelToken* cancel)
      : engine_(engine),
        store_(store),
        names_(names),
        question_(question),
        options_(options),
        callbacks_(callbacks),
        cancel_(cancel) {}

  Result<AskResult> run();

 private:
  Result<AskResult> answer();
  Status open_contexts();
  Status check_same_heads() const;
  Result<std::vector<std::byte>> question_rows(OpenContext& context, std::span<const int32_t> ids);
  Status score_context(OpenContext& context, std::span<const int32_t> question_ids, Gatherer& gatherer);
  Result<std::vector<Span>> gather();
  Result<std::vector<Source>> sources_of(const std::vector<Span>& spans);
  Result<std::vector<Tokens>> tokens_of(const std::vector<Span>& spans);
  Status recompute(const ChatTemplate& chat, const std::vector<Span>& spans);
  void lap(const char* phase) { out_.timings.phases_ms.emplace_back(phase, watch_.lap_ms()); }
  void enter(const char* phase) {
    if (callbacks_.on_phase) callbacks_.on_phase(phase);
  }

  Engine::Impl& engine_;
  Store::Impl& store_;
  const std::vector<std::string>& names_;
  const std::string& question_;
  const AskOptions& options_;
  const AskCallbacks& callbacks_;
  const CancelToken* cancel_;
  std::vector<OpenContext> contexts_;
  AskResult out_;
  Stopwatch watch_, total_;
  double load_ms_ = 0, query_ms_ = 0, gather_ms_ = 0;
};

Status AskJob::open_contexts() {
  for (size_t i = 0; i < names_.size(); ++i) {
    const std::string& name = names_[i];
    if (std::count(names_.begin(), names_.end(), name) > 1)
      return {Code::kUsage, fmt::format("context '{}' is named twice", name)};
    OpenContext c;
    TRY_ASSIGN(c.data, store_.contexts->open_reader(name));
    TRY_ASSIGN(c.settings, parse_settings(c.data->meta().settings, name));
    TRY_ASSIGN(c.files, parse_sources(c.data->meta().sources, name));
    if (!c.data->meta().complete) {
      return {Code::kBusy,
              fmt::format("context '{}' is not finished: run its ingest again, it goes on from what was saved", name)};
    }
    const char* advice = names_.size() > 1 ? "ask it with that one, and contexts of different models one by one"
                                           : "ask it with that one";
    TRY(check_model(c.settings, c.data->meta(), engine_, advice));
    c.edge_tokens = edge_tokens_per_side(options_.edge_tokens, options_.gather_tokens, int64_t(names_.size()));
    contexts_.push_back(std::move(c));
  }
  return check_same_heads();
}

Status AskJob::check_same_heads() const {
  for (const OpenContext& c : contexts_) {
    if (c.settings.heads == contexts_[0].settings.heads) continue;
    return {Code::kWrongModel,
            fmt::format("contexts '{}' and '{}' use different heads ({}; {}), so their scores cannot be "
                        "compared; ask them one by one",
                        contexts_[0].data->meta().name, c.data->meta().name, to_string(contexts_[0].settings.heads),
                        to_string(c.settings.heads))};
  }
  return {};
}

// The question's states over the context's stored cache (REFORM section 3.2): it needs text before it.
Result<std::vector<std::byte>> AskJob::question_rows(OpenContext& context, std::span<const int32_t> ids) {
  Stopwatch watch;
  const ModelShape& shape = engine_.model->shape();
  const ContextSettings& s = context.settings;
  const CompressOptions options{.policy = find_policy(s.policy),
                                .chunk_tokens = s.chunk_tokens,
                                .cache_tokens = s.cache_tokens,
                                .sink_tokens = s.sink_tokens,
                                .overlap_tokens = s.overlap_tokens,
                                .kv_type = engine_.kv_type()};
  const CompressSizes sizes = question_sizes(options, int64_t(ids.size()));
  JobPlan plan = plan_compress(shape, *engine_.device, s.heads, options, sizes);
  plan.host[MemoryCategory::kStore] = planned_store_bytes(0, int64_t(names_.size()));
  // On a GPU weights stay as they are arranged while the question is scored, so that needs room beside them, too.
  if (!engine_.device->is_host()) {
    const MemoryPlan scoring =
        plan_scoring(*engine_.device, {int64_t(s.heads.size()), s.head_dim}, int64_t(ids.size()));
    engine_.note_gpu_plan(scoring);
    plan.device[MemoryCategory::kIndex] += std::max<int64_t>(0, scoring.total_bytes() - plan.device.total_bytes());
  }
  TRY(engine_.make_room(plan, compress_use(s.heads), fmt::format("a larger {} would fit", engine_.cap_flag()),
                        cancel_));
  TRY_ASSIGN(Kernels kernels, engine_.make_kernels(compress_limits(shape, *engine_.device, sizes)));
  TRY_ASSIGN(auto compressor, Compressor::create(*engine_.model, *engine_.device, *kernels.ops, engine_.account,
                                                 s.heads, options, sizes));
  int64_t n_parts = 0;
  TRY(context.data->load_checkpoint(context.n_tokens(), [&](const std::string& part, std::span<const std::byte> bytes) {
    return compressor->load_part(n_parts++, part, bytes);
  }));
  TRY(compressor->finish_load(n_parts));
  load_ms_ += watch.lap_ms();
  TRY_ASSIGN(const auto rows, compressor->run_question(ids, cancel_));
  query_ms_ += watch.lap_ms();
  return std::vector<std::byte>(rows.begin(), rows.end());
}

Status AskJob::score_context(OpenContext& context, std::span<const int32_t> question_ids, Gatherer& gatherer) {
  enter("query");
  TRY_ASSIGN(const std::vector<std::byte> rows, question_rows(context, question_ids));
  enter("gather");
  Stopwatch watch;
  const EmbeddingLayout layout{int64_t(context.settings.heads.size()), context.settings.head_dim};
  TRY_ASSIGN(Kernels kernels, engine_.make_kernels(score_limits(layout, int64_t(question_ids.size()))));
  TRY_ASSIGN(auto scorer, Scorer::create(*engine_.device, *kernels.ops, layout, rows,
                                         block_tokens_for(int32_t(layout.row_bytes()))));
  gatherer.begin_context(context.n_tokens(), context.edge_tokens);
  TRY(context.data->scan_embeddings([&](const EmbeddingBlock& block) -> Status {
    if (cancel_ != nullptr && cancel_->cancelled()) return {Code::kCancelled, "stopped"};
    TRY_ASSIGN(const auto scores, scorer->score(block.rows));
    gatherer.add_scores(scores);
    return {};
  }));
  gatherer.end_context();
  gather_ms_ += watch.lap_ms();
  return {};
}

Result<std::vector<Span>> AskJob::gather() {
  if (question_.find_first_not_of(" \t\r\n") == std::string::npos) return Status{Code::kUsage, "the question is empty"};
  TRY_ASSIGN(const std::vector<int32_t> ids, engine_.tokenizer->encode_plain(question_));
  if (ids.empty()) return Status{Code::kUsage, "the model's vocabulary has no tokens for the question"};
  const int64_t window = engine_.model->shape().trained_window_tokens;
  if (int64_t(ids.size()) > window - options_.sampling.max_new_tokens) {
    return Status{Code::kUsage,
                  fmt::format("the question's {} tokens and {} to generate pass the model's window of {}; "
                              "ask more briefly, or ingest what is long and ask about it",
                              ids.size(), options_.sampling.max_new_tokens, window)};
  }
  Gatherer gatherer({options_.gather_tokens, options_.pool_window});
  std::vector<int64_t> n_tokens, edges;
  for (OpenContext& c : contexts_) {
    TRY(score_context(c, ids, gatherer));
    n_tokens.push_back(c.n_tokens());
    edges.push_back(c.edge_tokens);
  }
  const std::vector<GatheredToken> chosen = gatherer.take();
  std::vector<Span> spans = make_spans(chosen, n_tokens, edges);
  for (const Span& s : spans) (s.edge ? out_.edge_tokens : out_.gathered_tokens) += s.end_token - s.begin_token;
  return spans;
}

Result<std::vector<Source>> AskJob::sources_of(const std::vector<Span>& spans) {
  std::vector<Source> all;
  for (size_t c = 0; c < contexts_.size(); ++c) {
    std::vector<Span> own;
    std::copy_if(spans.begin(), spans.end(), std::back_inserter(own),
                 [&](const Span& s) { return size_t(s.context) == c; });
    TRY_ASSIGN(const auto sources, make_sources(*contexts_[c].data, *engine_.tokenizer, contexts_[c].files, own));
    all.insert(all.end(), sources.begin(), sources.end());
  }
  return all;
}

// Spans of one context stand together; all of a context's are read at once.
Result<std::vector<Tokens>> AskJob::tokens_of(const std::vector<Span>& spans) {
  std::vector<Tokens> tokens;
  for (size_t begin = 0; begin < spans.size(); begin = tokens.size()) {
    std::vector<TokenRange> ranges;
    for (size_t i = begin; i < spans.size() && spans[i].context == spans[begin].context; ++i) {
      ranges.push_back({spans[i].begin_token, spans[i].end_token});
    }
    TRY_ASSIGN(auto read, contexts_[size_t(spans[begin].context)].data->read_token_ranges(ranges));
    std::move(read.begin(), read.end(), std::back_inserter(tokens));
  }
  return tokens;
}

Status AskJob::recompute(const ChatTemplate& chat, const std::vector<Span>& spans) {
  TRY_ASSIGN(const std::vector<Tokens> tokens, tokens_of(spans));
  std::vector<Passage> passages;
  for (size_t i = 0; i < spans.size(); ++i) {
    const Span& s = spans[i];
    const bool first_of_context = i == 0 || spans[i - 1].context != s.context;
    const std::string header =
        contexts_.size() > 1 && first_of_context
            ? fmt::format("{}[{}]\n", i == 0 ? "" : "\n\n", contexts_[size_t(s.context)].data->meta().name)
            : "";
    const bool skipped =
        first_of_context ? s.begin_token > 0 && contexts_.size() == 1 : spans[i - 1].end_token < s.begin_token;
    passages.push_back({header, skipped, tokens[i].ids});
  }
  TRY_ASSIGN(const Prompt prompt, assemble_prompt(*engine_.tokenizer, chat, options_.system, passages, question_));
  out_.prompt = engine_.tokenizer->decode(prompt.ids, /*special=*/true, /*at_start=*/true);
  out_.question_tokens = prompt.question_tokens;
  out_.template_tokens = prompt.template_tokens;
  out_.recomputed_tokens = int64_t(prompt.ids.size());
  const ModelShape& shape = engine_.model->shape();
  const int64_t n_all = out_.recomputed_tokens + options_.sampling.max_new_tokens;
  if (n_all > shape.trained_window_tokens) {
    return {Code::kUsage, fmt::format("{} tokens to recompute and {} to generate pass the model's window of {}; lower "
                                      "--gather-tokens ({}), the question, or -n",
                                      out_.recomputed_tokens, options_.sampling.max_new_tokens,
                                      shape.trained_window_tokens, options_.gather_tokens)};
  }
  const RecomputeSizes sizes =
      recompute_sizes(*engine_.device, out_.recomputed_tokens, options_.sampling.max_new_tokens);
  JobPlan plan = plan_recompute(shape, *engine_.device, engine_.kv_type(), sizes.call_tokens, sizes.capacity);
  plan.host[MemoryCategory::kStore] = planned_store_bytes(0, int64_t(names_.size()));
  TRY(engine_.make_room(plan, use_of_all(shape), "a smaller --gather-tokens or -n needs less", cancel_));
  TRY_ASSIGN(Kernels kernels,
             engine_.make_kernels(recompute_limits(shape, *engine_.device, sizes.call_tokens, sizes.capacity)));
  TRY_ASSIGN(GeneratedText text,
             run_prompt(
                 *engine_.model, *engine_.tokenizer, *engine_.device, *kernels.ops, engine_.kv_type(), prompt.ids,
                 options_.sampling, callbacks_.on_text, [&] { enter("decode"); }, cancel_));
  out_.answer = std::move(text.text);
  out_.finish_reason = text.finish_reason;
  out_.timings.predicted_n = text.n_tokens;
  out_.timings.predicted_ms = text.decode_ms;
  out_.timings.phases_ms.emplace_back("recompute_ms", text.prefill_ms);
  out_.timings.phases_ms.emplace_back("decode_ms", text.decode_ms);
  out_.timings.prompt_ms = text.prefill_ms;
  out_.timings.prompt_n = out_.recomputed_tokens;
  return {};
}

// Asked is asked, whatever comes of it.
Result<AskResult> AskJob::run() {
  auto answered = answer();
  for (const OpenContext& context : contexts_) store_.contexts->note_asked(context.data->meta().name);
  return answered;
}

Result<AskResult> AskJob::answer() {
  if (names_.empty()) return Status{Code::kUsage, "name at least one context to ask"};
  TRY(engine_.chat);
  enter("load");
  TRY(open_contexts());
  load_ms_ += watch_.lap_ms();
  TRY_ASSIGN(const std::vector<Span> spans, gather());
  watch_.lap_ms();
  TRY_ASSIGN(out_.sources, sources_of(spans));
  gather_ms_ += watch_.lap_ms();
  out_.timings.phases_ms = {{"load_ms", load_ms_}, {"query_ms", query_ms_}, {"gather_ms", gather_ms_}};
  if (callbacks_.on_sources) callbacks_.on_sources(out_.sources);
  enter("recompute");
  TRY(recompute(engine_.chat.value(), spans));
  out_.timings.total_ms = total_.elapsed_ms();
  out_.memory = memory_report(engine_, &store_.account);
  return out_;
}

}  // namespace

Result<AskResult> ask(Engine& engine, Store& store, const std::vector<std::string>& contexts,
                      const std::string& question, const AskOptions& options, const AskCallbacks& callbacks,
                      const CancelToken* cancel) {
  TRY(options.validate());
  TRY_ASSIGN(const auto turn, engine.impl().turns.take(cancel));
  remark_disk(engine.impl(), store.impl());
  return AskJob(engine.impl(), store.impl(), contexts, question, options, callbacks, cancel).run();
}

}  // namespace reform
