#include "tools/serve/chat_answer.h"

#include <fmt/format.h>

#include <algorithm>
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

Result<AskResult> ask_for_reply(ServerState& state, const ChatRequest& request,
                                const std::vector<std::string>& contexts, const ReplyListener& listener,
                                const CancelToken& cancel) {
  AskOptions options;
  options.sampling = request.sampling;
  options.system = request.system;
  options.chat = request.chat;
  options.gather_tokens = request.gather_tokens;
  AskCallbacks callbacks;
  callbacks.on_sources = listener.on_sources;
  callbacks.on_text = listener.reply.on_text, callbacks.on_reasoning = listener.reply.on_reasoning;
  callbacks.on_token = listener.reply.on_token;
  return ask(state.engine, state.store, contexts, request.prompt, options, callbacks, &cancel);
}

// Makes passages of pieces those of the messages that they are of.
void name_messages(const std::vector<Piece>& pieces, const std::vector<std::string>& files,
                   std::vector<Source>& sources) {
  for (Source& source : sources) {
    const auto at = size_t(std::ranges::find(files, source.file) - files.begin());
    if (at == files.size()) continue;
    source.file = pieces[at].name.substr(0, pieces[at].name.find(' '));
    source.begin_byte += pieces[at].begin_byte, source.end_byte += pieces[at].begin_byte;
    source.begin_line += pieces[at].n_lines_before;
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

// The name of the context that holds the pieces.
Result<std::string> read_pieces(ServerState& state, PromptLocks::Lock& lock, const std::vector<Piece>& pieces,
                                const std::vector<std::string>& files, const ReplyListener& listener,
                                const CancelToken& cancel) {
  const auto contexts = state.store.list();
  if (!contexts.ok()) return contexts.status();
  const KnownContext known = find_known(contexts.value(), files);
  if (known.n_pieces == files.size()) return known.name;
  if (known.n_pieces > 0 && !lock.wait_until_unasked(cancel))
    return Status{Code::kCancelled, "stopped while a prompt that begins alike was answered"};
  const auto made = make_ready(state.engine, state.store, known, pieces, files, listener.on_progress, cancel);
  const Status kept = keep_within_cap(state, made.ok() ? made.value().name : "");
  if (!made.ok()) return made.status();
  if (!kept.ok()) return kept;
  state.metrics.count_read_tokens(made.value().n_read_tokens);
  return made.value().name;
}

// What has no room becomes a context, which is asked, beside the one that was named, if one was.
Result<ReplyResult> answer_split(ServerState& state, const ChatRequest& request, const std::string& context,
                                 const std::vector<Piece>& pieces, int64_t prompt_tokens, const ReplyListener& listener,
                                 const CancelToken& cancel) {
  const std::vector<std::string> files = file_names(pieces, state.engine.model().fingerprint);
  auto lock = state.long_prompts.take(files.front(), cancel);
  if (!lock) return Status{Code::kCancelled, "stopped while a prompt that begins alike was read"};
  const auto made = read_pieces(state, *lock, pieces, files, listener, cancel);
  if (!made.ok()) return made.status();
  lock->ask();
  ReplyListener named = listener;
  named.on_sources = [&](std::vector<Source> sources) {
    name_messages(pieces, files, sources);
    listener.on_sources(sources);
  };
  std::vector<std::string> contexts = {made.value()};
  if (!context.empty()) contexts.insert(contexts.begin(), context);
  auto asked = ask_for_reply(state, request, contexts, named, cancel);
  if (asked.status().code == Code::kNotFound)
    return Status{Code::kBusy,
                  "the prompt's text was removed before it was asked (--implicit-contexts); send it again"};
  if (!asked.ok()) return asked.status();
  name_messages(pieces, files, asked.value().sources);
  ReplyResult result = reply_result(std::move(asked).value(), made.value());
  result.reform["contexts"] = contexts;
  result.reform["long_prompt"] = {{"prompt_tokens", prompt_tokens}, {"seen_tokens", result.prompt_tokens}};
  return result;
}

// `prompt_tokens`: of all messages.
Result<ReplyResult> answer_long(ServerState& state, ChatRequest request, const std::string& context,
                                int64_t prompt_tokens, int64_t reply_tokens, const CountTokens& count,
                                const ReplyListener& listener, const CancelToken& cancel) {
  if (state.options.max_implicit_bytes == 0)
    return too_long(state, prompt_tokens, reply_tokens,
                    "this server makes no contexts of long prompts (--implicit-contexts off)");
  const auto split =
      split_to_fit(conversation_of(request), state.engine.model().trained_window_tokens, reply_tokens, count);
  if (!split)
    return too_long(state, prompt_tokens, reply_tokens, "a smaller max_tokens would leave room for what must be seen");
  put_back(split->rest, request);
  return answer_split(state, request, context, split->pieces, prompt_tokens, listener, cancel);
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
  const int64_t n_reply = most_reply_tokens(state.engine, request.sampling, request.chat);
  const int64_t n_gathered = context.empty() ? 0 : kLeastGathered;
  if (n_prompt + n_reply + n_gathered > state.engine.model().trained_window_tokens)
    return answer_long(state, request, context, n_prompt, n_reply, count, listener, cancel);
  if (context.empty()) return generate_reply(state, request, listener, cancel);
  auto result = ask_for_reply(state, request, {context}, listener, cancel);
  if (!result.ok()) return result.status();
  return reply_result(std::move(result).value(), context);
}

}  // namespace reform::tool
