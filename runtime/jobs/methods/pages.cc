// Pages (after InfLLM, arXiv 2402.04617, and RetroLM, arXiv 2502.11444, without its training): the text's own keys and
// values, kept at ingest, are put into the cache for the pages that fit the question best, and the answer is decoded
// from there. Unlike there, a page's states come from a pass that evicts. pages-recompute takes the very same pages and
// runs their tokens again.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/gather/best_passages.h"
#include "runtime/gather/page_scorer.h"
#include "runtime/gather/passage_spans.h"
#include "runtime/jobs/methods/methods.h"

namespace reform {
namespace {

// The first page, whose tokens all others attend to, and the last.
constexpr int64_t kAlwaysTokens = 2 * schema::kPageTokens;

// A prompt's BOS stands before the text.
struct PlacedPrompt {
  Prompt prompt;
  std::span<const int32_t> before, behind;  // the text; both in prompt.ids
};

Result<PlacedPrompt> place_prompt(Ask& ask) {
  PlacedPrompt placed;
  TRY_ASSIGN(placed.prompt, make_prompt(ask, {}));
  const bool has_bos = !placed.prompt.ids.empty() && placed.prompt.ids[0] == ask.engine.tokenizer->bos();
  const size_t n_before = has_bos ? 1 : 0;
  placed.before = std::span(placed.prompt.ids).first(n_before);
  placed.behind = std::span(placed.prompt.ids).subspan(n_before);
  return placed;
}

// The question's queries inside the template, behind the text's stored cache, in all layers.
Result<std::vector<Query>> query_pages(Ask& ask, std::span<const Ids> questions) {
  CHECK(questions.size() == 1);
  TRY_ASSIGN(std::vector<Query> queries, query_nothing(ask, questions));
  TRY_ASSIGN(const PlacedPrompt placed, place_prompt(ask));
  const ModelShape& shape = ask.engine.model->shape();
  const Prompt& prompt = placed.prompt;
  const int64_t begin = prompt.question_begin - int64_t(placed.before.size());
  const auto n_run = int64_t(placed.behind.size());
  PageQuestion question(shape, prompt.question_tokens);
  TRY_ASSIGN(auto cache, load_cache(ask, ask.contexts[0], n_run, PageQuestion::bytes(shape, prompt.question_tokens) * 2,
                                    /*run_through=*/true));
  const Stopwatch watch;
  TRY(cache->run_through(
      placed.behind,
      [&](int64_t layer, const LayerStates& states) {
        question.add(layer, states.q.row_range(begin, begin + prompt.question_tokens));
      },
      ask.cancel));
  queries[0].states.emplace_back(question.bytes().begin(), question.bytes().end());
  queries[0].run_ms = watch.elapsed_ms();
  ask.full_model_tokens += n_run;
  return queries;
}

Result<Session<PageScorer>> open_scorer(Ask& ask, int64_t n_question_tokens) {
  Engine::Impl& engine = ask.engine;
  const ModelShape& shape = engine.model->shape();
  MemoryPlan beside = store_beside(ask);
  beside[MemoryCategory::kIndex] = PageQuestion::bytes(shape, n_question_tokens);
  const SessionNeeds needs =
      engine.needs_of_all(PageScorer::limits(shape, n_question_tokens), beside, "a shorter question needs less");
  return engine.open_session<PageScorer>(
      needs, [&](const Site& site) { return PageScorer::create(site, shape, n_question_tokens); }, ask.cancel);
}

Status check_budget(const Ask& ask) {
  if (ask.options.gather_tokens >= kAlwaysTokens) return {};
  return {Code::kUsage,
          fmt::format("the method {} takes the first and the last page of {} tokens each; --gather-tokens {} "
                      "has no room for them, {} has",
                      ask.options.method, schema::kPageTokens, ask.options.gather_tokens, kAlwaysTokens)};
}

Result<Selection> select_pages(Ask& ask, const Query& query) {
  TRY(check_budget(ask));
  OpenContext& context = ask.contexts[0];
  const ModelShape& shape = ask.engine.model->shape();
  const int64_t n_question_tokens = int64_t(query.states[0].size()) / PageQuestion::bytes(shape, 1);
  TRY_ASSIGN(auto scorer, open_scorer(ask, n_question_tokens));
  const auto scan = [&](const std::function<Status(TokenRange, std::span<const std::byte>)>& fn) {
    return context.data->scan(kPageKeys, [&](TokenRange page, std::span<const std::byte> key) -> Status {
      if (ask.cancel != nullptr && ask.cancel->cancelled()) return {Code::kCancelled, "stopped"};
      return fn(page, key);
    });
  };
  const int64_t n_tokens = context.n_tokens(), budget = ask.options.gather_tokens;
  std::vector<ChosenPassage> chosen;
  BestPassages best(budget);
  const Status scored = scorer->run(query.states[0], scan, [&](TokenRange page, double score) {
    ScoredPassage passage{0, page.begin, page.end, score, {}};
    if (page.begin == 0 || page.end == n_tokens) {
      chosen.push_back({std::move(passage), /*round=*/0});
    } else {
      best.add(std::move(passage));
    }
  });
  if (scored.code == Code::kCorrupt)
    return Status{scored.code, fmt::format("context '{}': {}", context.name(), scored.message)};
  TRY(scored);
  const std::vector<ScoredPassage> ranking[] = {best.take()};
  choose_passages(ranking, /*round=*/0, budget, chosen);
  return Selection{make_passage_spans(std::move(chosen), {&n_tokens, 1}, /*edge_tokens=*/0)};
}

// The decoder, and one layer's states of a page on their way into its cache.
struct PageDecoder {
  std::unique_ptr<Decoder> decoder;
  Ops* ops = nullptr;
  Buffer<float> k, v;  // [kPageTokens, n_kv_heads * head_dim]
};

Result<Session<PageDecoder>> open_decoder(Ask& ask, const PlacedPrompt& placed, int64_t n_stored) {
  Engine::Impl& engine = ask.engine;
  const int64_t n_prompt = int64_t(placed.behind.size());
  const ReplyPlan reply = plan_reply(ask, placed.prompt);
  const ModelShape& shape = engine.model->shape();
  const SessionNeeds needs = engine.needs_of_all(
      Decoder::limits(shape, *engine.device, n_prompt, reply.max_tokens(), n_stored), store_beside(ask),
      fmt::format("a smaller {} needs less", size_options(ask, "--gather-tokens")));
  const auto make = [&](const Site& site) -> Result<std::unique_ptr<PageDecoder>> {
    auto made = std::make_unique<PageDecoder>();
    TRY_ASSIGN(made->decoder,
               Decoder::create(*engine.model, *engine.tokenizer, site, engine.kv_type(), n_prompt, reply, n_stored));
    made->ops = site.ops;
    for (Buffer<float>* const buffer : {&made->k, &made->v}) {
      TRY_ASSIGN(*buffer, Buffer<float>::create(site.host, MemoryCategory::kIndex,
                                                schema::kPageTokens * PageLayout::of(shape).layer_width()));
    }
    return made;
  };
  return engine.open_session<PageDecoder>(needs, make, ask.cancel);
}

// Puts the pages of these spans behind the cache's slots, one after the other, so that positions are consecutive.
Status load_pages(Ask& ask, OpenContext& context, std::span<const Span> spans, PageDecoder& to) {
  const Stopwatch watch;
  const PageLayout layout = PageLayout::of(ask.engine.model->shape());
  KvCache& cache = to.decoder->cache();
  std::vector<TokenRange> ranges;
  for (const Span& span : spans) ranges.push_back({span.begin_token, span.end_token});
  const auto load = [&](TokenRange page, std::span<const std::byte> states) -> Status {
    if (ask.cancel != nullptr && ask.cancel->cancelled()) return {Code::kCancelled, "stopped"};
    const int64_t n = page.n_tokens(), slot = cache.kv_len();
    const MatView<float> k(to.k.data(), n, layout.layer_width()), v(to.v.data(), n, layout.layer_width());
    for (int64_t layer = 0; layer < layout.n_layers; ++layer) {
      if (Status read = read_page_layer(layout, states, layer, k, v); !read.ok())
        return {read.code, fmt::format("context '{}': page {} {}", context.name(), page.begin, read.message)};
      to.ops->store_kv(k, v, slot, cache.layer(layer, slot + n));
    }
    cache.set_kv_len(slot + n);
    return {};
  };
  TRY(context.data->read_values(kPageStates, ranges, load));
  ask.load_ms += watch.elapsed_ms();
  return {};
}

Result<Answer> answer_from_pages(Ask& ask, std::span<const Span> spans) {
  TRY_ASSIGN(PlacedPrompt placed, place_prompt(ask));
  const auto n_before = int64_t(placed.before.size()), n_behind = int64_t(placed.behind.size());
  int64_t n_stored = 0;
  for (const Span& span : spans) n_stored += span.end_token - span.begin_token;
  const int64_t n_prompt = n_before + n_behind;
  TRY(check_positions(ask, n_stored + n_prompt,
                      fmt::format("{} tokens of pages, {} of question and template", n_stored, n_prompt),
                      fmt::format("lower {}, or ask more briefly", size_options(ask, "--gather-tokens"))));
  Answer answer;
  if (ask.options.sampling.max_new_tokens == 0) {
    answer.generated.finish_reason = "length";
  } else {
    TRY_ASSIGN(auto opened, open_decoder(ask, placed, n_before + n_stored));
    if (n_before > 0) TRY(opened->decoder->run_ahead(placed.before, ask.cancel));
    TRY(load_pages(ask, ask.contexts[0], spans, *opened));
    TRY_ASSIGN(answer.generated, opened->decoder->run(
                                     placed.behind, ask.reply_callbacks(), [&] { ask.enter("decode"); }, ask.cancel));
    answer.generated.timings.prompt_n += n_before;
  }
  answer.prompt = std::move(placed.prompt);
  return answer;
}

MethodTraits traits_of(const char* name, const char* summary) {
  return {.name = name, .summary = summary, .options = {"--gather-tokens"}, .from_cache = true, .from_pages = true};
}

}  // namespace

AskMethod pages_method() {
  return {.query = query_pages,
          .select = select_pages,
          .answer = answer_from_pages,
          .traits = traits_of("pages",
                              "the stored states of the pages that fit best answer; for a context made with "
                              "--pages")};
}

AskMethod pages_recompute_method() {
  return {.query = query_pages,
          .select = select_pages,
          .answer = answer_by_recompute,
          .traits = traits_of("pages-recompute", "the same pages as by pages, read again by the whole model")};
}

}  // namespace reform
