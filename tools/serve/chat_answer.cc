#include "tools/serve/chat_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/serve/implicit_context.h"

namespace reform::tool {
namespace {

// What a template writes in all and around each turn, about. Prompts that come as near to the window as this are long.
constexpr int64_t kTemplateTokens = 64, kTurnOverheadTokens = 16;
constexpr int64_t kLeastGathered = 64;
constexpr int64_t kAmpleTokens = 3072;  // more than is gathered unless a request says so

Conversation conversation_of(const ChatRequest& request) {
  Conversation all{request.system, request.chat.history, request.first_turn};
  all.turns.push_back({"user", request.prompt});
  return all;
}

int64_t tokens_of(const Conversation& all, const CountTokens& count) {
  int64_t sum = kTemplateTokens + count(all.system);
  for (const Message& turn : all.turns) sum += count(turn.content) + kTurnOverheadTokens;
  return sum;
}

void put_back(const Conversation& rest, ChatRequest& request) {
  request.system = rest.system;
  request.chat.history = {rest.turns.begin(), rest.turns.end() - 1};
  request.prompt = rest.turns.back().content;
}

Result<ReplyResult> generate_reply(ServerState& state, const ChatRequest& request, const ReplyListener& listener,
                                   const CancelToken& cancel) {
  GenerateOptions options;
  options.sampling = request.sampling;
  options.chat = request.is_chat;
  options.system = request.system;
  options.chat_options = request.chat;
  auto result = generate(state.engine, request.prompt, options, listener.reply, &cancel);
  if (!result.ok()) return result.status();
  return reply_result(std::move(result).value());
}

// `room_tokens`: what passages may take of the prompt.
Result<AskResult> ask_for_reply(ServerState& state, const ChatRequest& request,
                                const std::vector<std::string>& contexts, int64_t room_tokens,
                                const ReplyListener& listener, const CancelToken& cancel) {
  AskOptions options;
  options.sampling = request.sampling;
  options.system = request.system;
  options.chat = request.chat;
  options.gather_tokens = request.gather_tokens;
  if (options.gather_tokens == GatherOptions::kAuto && room_tokens < kAmpleTokens)
    options.gather_tokens = room_tokens - room_tokens / 8, options.edge_tokens = 0;  // marks between passages
  AskCallbacks callbacks;
  callbacks.on_sources = listener.on_sources;
  callbacks.on_text = listener.reply.on_text, callbacks.on_reasoning = listener.reply.on_reasoning;
  return ask(state.engine, state.store, contexts, request.prompt, options, callbacks, &cancel);
}

Status keep_within_cap(ServerState& state, const std::string& kept) {
  const auto contexts = state.store.list();
  if (!contexts.ok()) return contexts.status();
  for (const std::string& name : to_remove(contexts.value(), state.options.max_implicit_bytes, kept)) {
    const Status removed = state.store.remove(name);
    if (!removed.ok() && removed.code != Code::kBusy && removed.code != Code::kNotFound) return removed;
  }
  return {};
}

Status too_long(const ServerState& state, int64_t prompt_tokens, int64_t new_tokens) {
  return {Code::kUsage,
          fmt::format("the messages have about {} tokens and the answer up to {}, which pass the model's window "
                      "of {}; this server makes no contexts of long prompts (--implicit-contexts)",
                      prompt_tokens, new_tokens, state.engine.model().trained_window_tokens)};
}

// Of a prompt of so many tokens: what has no room becomes a context, which is asked together with `context`.
Result<ReplyResult> answer_long(ServerState& state, ChatRequest request, const std::string& context,
                                int64_t prompt_tokens, const CountTokens& count, const ReplyListener& listener,
                                const CancelToken& cancel) {
  const int64_t window = state.engine.model().trained_window_tokens, room = window - request.sampling.max_new_tokens;
  if (state.options.max_implicit_bytes == 0 || room <= 0)
    return too_long(state, prompt_tokens, request.sampling.max_new_tokens);
  // Whatever the answer's limit is, so that the same conversation has the same pieces.
  SplitConversation split = split_conversation(conversation_of(request), window * 3 / 4, count);
  if (split.pieces.empty()) return too_long(state, prompt_tokens, request.sampling.max_new_tokens);
  put_back(split.rest, request);
  const int64_t left = room - tokens_of(split.rest, count);
  if (left < kLeastGathered) return too_long(state, prompt_tokens, request.sampling.max_new_tokens);
  const auto made = make_ready(state.engine, state.store, split.pieces, listener.on_progress, cancel);
  if (!made.ok()) return made.status();
  if (const Status kept = keep_within_cap(state, made.value()); !kept.ok()) return kept;
  std::vector<std::string> contexts = {made.value()};
  if (!context.empty()) contexts.insert(contexts.begin(), context);
  const LongPrompt prompt{made.value(), std::move(split.pieces), prompt_tokens};
  ReplyListener named = listener;
  named.on_sources = [&](std::vector<Source> sources) {
    name_messages(prompt, sources);
    listener.on_sources(sources);
  };
  auto result = ask_for_reply(state, request, contexts, left, named, cancel);
  if (!result.ok()) return result.status();
  return reply_result(std::move(result).value(), context.empty() ? made.value() : context, prompt);
}

}  // namespace

Result<ReplyResult> answer_chat(ServerState& state, const ChatRequest& request, const std::string& context,
                                const ReplyListener& listener, const CancelToken& cancel) {
  if (!request.is_chat) return generate_reply(state, request, listener, cancel);
  Status counted;
  const CountTokens count = [&](const std::string& text) -> int64_t {
    const auto n = count_tokens(state.engine, text);
    if (!n.ok()) counted = n.status();
    return n.ok() ? n.value() : 0;
  };
  const int64_t n_prompt = tokens_of(conversation_of(request), count);
  if (!counted.ok()) return counted;
  // Beside a context's passages the conversation has half of the window.
  const int64_t window = state.engine.model().trained_window_tokens;
  const int64_t room = (context.empty() ? window : window / 2) - request.sampling.max_new_tokens;
  if (n_prompt > room) return answer_long(state, request, context, n_prompt, count, listener, cancel);
  if (context.empty()) return generate_reply(state, request, listener, cancel);
  auto result = ask_for_reply(state, request, {context}, window, listener, cancel);
  if (!result.ok()) return result.status();
  return reply_result(std::move(result).value(), context);
}

}  // namespace reform::tool
