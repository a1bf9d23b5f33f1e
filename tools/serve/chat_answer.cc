#include "tools/serve/chat_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "tools/serve/implicit_context.h"

namespace reform::tool {
namespace {

// What a template writes in all, about. Prompts that come as near to the window as this are long.
constexpr int64_t kTemplateTokens = 64;
// Of the window, for the prompt: the usual share, and smaller ones where the answer may be long. They do not depend on
// the request, so the same conversation has the same pieces.
constexpr double kRooms[] = {0.75, 0.375, 0.1875};
constexpr int64_t kLeastGathered = 64;

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

Result<AskResult> ask_for_reply(ServerState& state, const ChatRequest& request, const std::string& context,
                                const ReplyListener& listener, const CancelToken& cancel) {
  AskOptions options;
  options.sampling = request.sampling;
  options.system = request.system;
  options.chat = request.chat;
  options.gather_tokens = request.gather_tokens;
  AskCallbacks callbacks;
  callbacks.on_sources = listener.on_sources;
  callbacks.on_text = listener.reply.on_text, callbacks.on_reasoning = listener.reply.on_reasoning;
  return ask(state.engine, state.store, {context}, request.prompt, options, callbacks, &cancel);
}

// Makes passages of pieces those of the messages that they are of.
void name_messages(const std::vector<Piece>& pieces, const std::vector<std::string>& files,
                   std::vector<Source>& sources) {
  for (Source& source : sources) {
    const auto at = size_t(std::ranges::find(files, source.file) - files.begin());
    if (at == files.size()) continue;
    source.file = pieces[at].name.substr(0, pieces[at].name.find(' '));
    source.begin_byte += pieces[at].begin_byte, source.end_byte += pieces[at].begin_byte;
  }
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

Status too_long(const ServerState& state, int64_t prompt_tokens, int64_t reply_tokens, const std::string& advice) {
  return {Code::kUsage,
          fmt::format("the messages have about {} tokens and the reply up to {}, which pass the model's window of "
                      "{}; {}",
                      prompt_tokens, reply_tokens, state.engine.model().trained_window_tokens, advice)};
}

// A long prompt's parts, if there is a way to make them fit.
std::optional<SplitConversation> split_to_fit(const Conversation& all, int64_t window, int64_t reply_tokens,
                                              const CountTokens& count) {
  for (const double share : kRooms) {
    SplitConversation split = split_conversation(all, int64_t(double(window) * share), count);
    if (split.pieces.empty()) continue;
    if (tokens_of(split.rest, count) + reply_tokens + kLeastGathered <= window) return split;
  }
  return std::nullopt;
}

// What has no room becomes a context, which is asked.
Result<ReplyResult> answer_split(ServerState& state, const ChatRequest& request, const std::vector<Piece>& pieces,
                                 int64_t prompt_tokens, const ReplyListener& listener, const CancelToken& cancel) {
  std::unique_lock lock(state.long_prompts, std::defer_lock);
  while (!lock.try_lock_for(std::chrono::milliseconds(100)))
    if (cancel.cancelled()) return Status{Code::kCancelled, "stopped while another long prompt was read"};
  const std::vector<std::string> files = file_names(pieces, state.engine.model().fingerprint);
  const auto made = make_ready(state.engine, state.store, pieces, files, listener.on_progress, cancel);
  if (const Status s = keep_within_cap(state, made.ok() ? made.value() : ""); made.ok() && !s.ok()) return s;
  if (!made.ok()) return made.status();
  ReplyListener named = listener;
  named.on_sources = [&](std::vector<Source> sources) {
    name_messages(pieces, files, sources);
    listener.on_sources(sources);
  };
  auto asked = ask_for_reply(state, request, made.value(), named, cancel);
  if (!asked.ok()) return asked.status();
  name_messages(pieces, files, asked.value().sources);
  ReplyResult result = reply_result(std::move(asked).value(), made.value());
  result.reform["long_prompt"] = {{"prompt_tokens", prompt_tokens}, {"seen_tokens", result.prompt_tokens}};
  return result;
}

// `prompt_tokens`: of all messages.
Result<ReplyResult> answer_long(ServerState& state, ChatRequest request, int64_t prompt_tokens, int64_t reply_tokens,
                                const CountTokens& count, const ReplyListener& listener, const CancelToken& cancel) {
  if (state.options.max_implicit_bytes == 0)
    return too_long(state, prompt_tokens, reply_tokens,
                    "this server makes no contexts of long prompts (--implicit-contexts off)");
  const auto split =
      split_to_fit(conversation_of(request), state.engine.model().trained_window_tokens, reply_tokens, count);
  if (!split)
    return too_long(state, prompt_tokens, reply_tokens, "a smaller max_tokens would leave room for what must be seen");
  put_back(split->rest, request);
  return answer_split(state, request, split->pieces, prompt_tokens, listener, cancel);
}

}  // namespace

Result<ReplyResult> answer_chat(ServerState& state, const ChatRequest& request, const std::string& context,
                                const ReplyListener& listener, const CancelToken& cancel) {
  if (!request.is_chat) return generate_reply(state, request, listener, cancel);
  if (!context.empty()) {
    auto result = ask_for_reply(state, request, context, listener, cancel);
    if (!result.ok()) return result.status();
    return reply_result(std::move(result).value(), context);
  }
  Status counted;
  const CountTokens count = [&](const std::string& text) -> int64_t {
    const auto n = count_tokens(state.engine, text);
    if (!n.ok()) counted = n.status();
    return n.ok() ? n.value() : 0;
  };
  const int64_t n_prompt = tokens_of(conversation_of(request), count);
  if (!counted.ok()) return counted;
  const int64_t n_reply = most_reply_tokens(state.engine, request.sampling, request.chat);
  if (n_prompt + n_reply > state.engine.model().trained_window_tokens)
    return answer_long(state, request, n_prompt, n_reply, count, listener, cancel);
  return generate_reply(state, request, listener, cancel);
}

}  // namespace reform::tool
