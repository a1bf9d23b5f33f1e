// What chunks carried: the compressed cache alone answers. Nothing is gathered; the chat template with the question
// runs behind the text's slots, through all layers, and the answer is decoded from there.
#include <fmt/format.h>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/compress/cache_parts.h"
#include "runtime/jobs/methods/methods.h"

namespace reform {
namespace {

Result<Selection> select_nothing(Ask&, const Query&) { return Selection{}; }

// The text's slots begin with BOS already.
Result<Prompt> prompt_without_bos(Ask& ask) {
  TRY_ASSIGN(Prompt prompt, make_prompt(ask, {}));
  if (prompt.ids.empty() || prompt.ids[0] != ask.engine.tokenizer->bos()) return prompt;
  prompt.ids.erase(prompt.ids.begin());
  --prompt.template_tokens;
  return prompt;
}

Status check_slots(const Ask& ask, int64_t n_stored, int64_t n_prompt) {
  return check_positions(
      ask, n_stored + n_prompt,
      fmt::format("up to {} slots of the cache, {} tokens of question and template", n_stored, n_prompt),
      fmt::format("lower {}, or ingest with a smaller --cache-tokens and a policy that heeds it",
                  size_options(ask, "")));
}

// The decoder over the stored slots, and the policy that left them: slots that stand for several tokens have a bias.
struct CacheDecoder {
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<EvictionPolicy> policy;  // null: none carried anything
};

Result<std::unique_ptr<CacheDecoder>> make_decoder(const Ask& ask, const Site& site, const CompressOptions& options,
                                                   const ReplyPlan& reply, int64_t n_prompt, int64_t n_stored) {
  const Engine::Impl& engine = ask.engine;
  auto made = std::make_unique<CacheDecoder>();
  TRY_ASSIGN(made->decoder,
             Decoder::create(*engine.model, *engine.tokenizer, site, engine.kv_type(), n_prompt, reply, n_stored));
  const ModelShape& shape = engine.model->shape();
  TRY_ASSIGN(made->policy, make_policy(options, site, shape, shape.n_layers, n_stored));
  if (made->policy == nullptr) return made;
  made->decoder->set_slot_bias([policy = made->policy.get()](int64_t layer) { return policy->slot_bias(layer); });
  return made;
}

Result<Session<CacheDecoder>> open_decoder(Ask& ask, const CompressOptions& options, const Prompt& prompt,
                                           int64_t n_stored) {
  Engine::Impl& engine = ask.engine;
  const int64_t n_prompt = int64_t(prompt.ids.size());
  const ReplyPlan reply = plan_reply(ask, prompt);
  const ModelShape& shape = engine.model->shape();
  const SessionNeeds needs =
      engine.needs_of_all(Decoder::limits(shape, *engine.device, n_prompt, reply.max_tokens(), n_stored),
                          store_beside(ask), fmt::format("a smaller {} needs less", size_options(ask, "")));
  const auto make = [&](const Site& site) { return make_decoder(ask, site, options, reply, n_prompt, n_stored); };
  return engine.open_session<CacheDecoder>(needs, make, ask.cancel);
}

Status load_decoder(Ask& ask, OpenContext& context, CacheDecoder& to, int64_t n_stored) {
  const Stopwatch watch;
  KvCache& cache = to.decoder->cache();
  const std::vector<StatePart> parts = checkpoint_parts(cache, to.policy.get());
  if (to.policy != nullptr) to.policy->reset();
  TRY(load_slots(context, {*ask.engine.device, cache, parts, n_stored}));
  ask.load_ms += watch.elapsed_ms();
  return {};
}

Result<Answer> answer_from_cache(Ask& ask, std::span<const Span>) {
  OpenContext& context = ask.contexts[0];
  const CompressOptions options = compress_options(context.settings, ask.engine.kv_type());
  const int64_t n_stored = std::min(stored_slots(options), context.n_tokens() + 1);
  Answer answer;
  TRY_ASSIGN(answer.prompt, prompt_without_bos(ask));
  const Ids& ids = answer.prompt.ids;
  TRY(check_slots(ask, n_stored, int64_t(ids.size())));
  if (ask.options.sampling.max_new_tokens == 0) {
    answer.generated.finish_reason = "length";
    return answer;
  }
  TRY_ASSIGN(auto opened, open_decoder(ask, options, answer.prompt, n_stored));
  TRY(load_decoder(ask, context, *opened, n_stored));
  TRY_ASSIGN(answer.generated, opened->decoder->run(
                                   ids, ask.reply_callbacks(), [&] { ask.enter("decode"); }, ask.cancel));
  return answer;
}

}  // namespace

AskMethod carry_method() {
  return {.query = query_nothing,
          .select = select_nothing,
          .answer = answer_from_cache,
          .traits = {.name = "carry",
                     .summary = "the compressed cache alone answers; for a context made with --full-depth",
                     .options = {},
                     .from_cache = true}};
}

}  // namespace reform
