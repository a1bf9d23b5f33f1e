// OPRM (arXiv 2505.07793): each chunk of the text stands alone in a prompt of its own, and the one that leaves the
// model least in doubt of its first token answers. Without the paper's batch: the chunks are run one after another, in
// the memory of one, and the chosen one is run again.
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "base/try.h"
#include "runtime/jobs/methods/methods.h"
#include "runtime/recompute/first_token.h"

namespace reform {
namespace {

constexpr int64_t kChunkTokens = 2000;  // as in the paper's runs
constexpr int64_t kBesideTokens = 64;   // room for what stands around a chunk in the prompt: names of files, marks
// The paper's IDK filter: a chunk is left out if the model begins with the word that stands for "not in here".
constexpr const char* kNoAnswer = "Error";
constexpr const char* kInstruction =
    "If the passage above does not hold the answer, reply with the one word \"Error\".";

std::string instruction(const Ask& ask) { return ask.options.all_chunks ? "" : kInstruction; }

// The whole text in order, cut in each context anew.
Result<std::vector<Span>> cut(Ask& ask) {
  int64_t chunk = ask.options.chunk_tokens;
  if (chunk == GatherOptions::kAuto) {
    TRY_ASSIGN(const Prompt alone, make_prompt(ask, {}, instruction(ask)));
    chunk = std::clamp<int64_t>(prompt_room(ask) - int64_t(alone.ids.size()) - kBesideTokens, 1, kChunkTokens);
  }
  std::vector<Span> chunks;
  for (size_t c = 0; c < ask.contexts.size(); ++c) {
    for (int64_t begin = 0, n = ask.contexts[c].n_tokens(); begin < n; begin += chunk)
      chunks.push_back({int32_t(c), begin, std::min(n, begin + chunk), false, kUnscored});
  }
  return chunks;
}

Result<Prompt> prompt_of(Ask& ask, std::span<const Span> chunk, const ChatOptions& chat) {
  TRY_ASSIGN(Prompt prompt, make_prompt(ask, chunk, instruction(ask), chat));
  TRY(check_window(ask, prompt, "--chunk-tokens"));
  return prompt;
}

// The first tokens of an answer that leaves a chunk out: those that the word can have.
Result<Ids> first_tokens_of_no_answer(const Ask& ask) {
  Ids ids;
  if (ask.options.all_chunks) return ids;
  for (const std::string& text : {std::string(kNoAnswer), " " + std::string(kNoAnswer)}) {
    TRY_ASSIGN(const Ids word, ask.engine.tokenizer->encode_plain(text, /*at_start=*/false));
    if (!word.empty()) ids.push_back(word[0]);
  }
  return ids;
}

Result<Session<FirstToken>> open_first_token(Ask& ask, int64_t n_prompt_tokens) {
  Engine::Impl& engine = ask.engine;
  const SessionNeeds needs =
      engine.needs_of_all(FirstToken::limits(engine.model->shape(), *engine.device, n_prompt_tokens), store_beside(ask),
                          "a smaller --chunk-tokens needs less");
  return engine.open_session<FirstToken>(
      needs,
      [&](const Site& site) { return FirstToken::create(*engine.model, site, engine.kv_type(), n_prompt_tokens); },
      ask.cancel);
}

// Runs prompts of different lengths. Only the names of files make one longer than those before it.
class Guesser {
 public:
  explicit Guesser(Ask& ask) : ask_(ask) {}

  Result<FirstTokenGuess> run(const Ids& prompt) {
    if (int64_t(prompt.size()) > room_) {
      session_ = {};
      room_ = int64_t(prompt.size());
      TRY_ASSIGN(session_, open_first_token(ask_, room_));
    }
    ask_.full_model_tokens += int64_t(prompt.size());
    return session_->run(prompt, ask_.cancel);
  }

 private:
  Ask& ask_;
  Session<FirstToken> session_;
  int64_t room_ = 0;
};

// No spans: the model says of each chunk that the answer is not in it.
Result<Selection> select_by_entropy(Ask& ask, const Query&) {
  TRY_ASSIGN(const std::vector<Span> chunks, cut(ask));
  TRY_ASSIGN(Ids no_answer, first_tokens_of_no_answer(ask));
  ChatOptions chat = ask.options.chat;
  chat.think = Think::kOff;  // the first token of a reasoning tells nothing of the answer
  SurestGuess surest(std::move(no_answer));
  Guesser guesser(ask);
  Selection selection;
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (ask.callbacks.on_chunk) ask.callbacks.on_chunk(int64_t(i), int64_t(chunks.size()));
    TRY_ASSIGN(const Prompt prompt, prompt_of(ask, {&chunks[i], 1}, chat));
    TRY_ASSIGN(const FirstTokenGuess guess, guesser.run(prompt.ids));
    if (!surest.add(guess)) continue;
    selection.spans = {chunks[i]};
    selection.spans[0].score = float(-guess.entropy_nats);
  }
  return selection;
}

Result<Selection> select_any(Ask& ask, const Query&) {
  TRY_ASSIGN(const std::vector<Span> chunks, cut(ask));
  std::mt19937_64 random(ask.options.sampling.seed);
  return Selection{{chunks[size_t(random() % chunks.size())]}};
}

Result<Answer> answer_from_chunk(Ask& ask, std::span<const Span> chunk) {
  if (chunk.empty()) {
    Answer none;
    none.generated.finish_reason = "unanswered";
    return none;
  }
  TRY_ASSIGN(Prompt prompt, prompt_of(ask, chunk, ask.options.chat));
  return answer_prompt(ask, std::move(prompt), "--chunk-tokens");
}

}  // namespace

AskMethod oprm_method() {
  return {.query = query_nothing,
          .select = select_by_entropy,
          .answer = answer_from_chunk,
          .traits = {.name = "oprm",
                     .summary = "each chunk of the text alone is read by the whole model; the surest one answers",
                     .options = {"--chunk-tokens", "--all-chunks"}}};
}

AskMethod oprm_random_method() {
  return {.query = query_nothing,
          .select = select_any,
          .answer = answer_from_chunk,
          .traits = {.name = "oprm-random",
                     .summary = "a random chunk answers; --seed draws others",
                     .options = {"--chunk-tokens", "--all-chunks", "--seed"}}};
}

}  // namespace reform
