// OpenAI's routes: models, and texts that the model writes, whole or as a stream of server-sent events.
#include <fmt/format.h>

#include <memory>
#include <utility>
#include <vector>

#include "tools/serve/chat_answer.h"
#include "tools/serve/chat_request.h"
#include "tools/serve/implicit_context.h"
#include "tools/serve/job_response.h"
#include "tools/serve/replies.h"
#include "tools/serve/state.h"

namespace reform::tool {
namespace {

constexpr const char* kContextPrefix = "reform:";

Json model_json(const std::string& id, int64_t created_unix_s) {
  return {{"id", id}, {"object", "model"}, {"created", created_unix_s}, {"owned_by", "reform"}};
}

Result<Json> models_json(ServerState& state) {
  Json list = Json::array({model_json(state.options.model_id, 0)});
  const auto contexts = state.store.list();
  if (!contexts.ok()) return contexts.status();
  for (const ContextInfo& c : contexts.value()) {
    const bool is_ours = c.model_fingerprint == state.engine.model().fingerprint && !is_implicit_name(c.name);
    if (c.state != "complete" || !is_ours) continue;
    list.push_back(model_json(kContextPrefix + c.name, c.created_unix_s));
  }
  return list;
}

Status no_model(const std::string& model) {
  return {Code::kNotFound, fmt::format("there is no model '{}'; GET /v1/models lists what there is", model)};
}

// The context that a model's id means; "": the bare model.
Result<std::string> context_of(ServerState& state, const std::string& model) {
  if (model == state.options.model_id) return std::string();
  if (!model.starts_with(kContextPrefix)) return no_model(model);
  std::string name = model.substr(std::string_view(kContextPrefix).size());
  if (is_implicit_name(name)) return no_model(model);
  if (const auto found = state.store.find(name); !found.ok()) return found.status();
  return name;
}

// Tells of an answer in the making, as events of its stream.
ReplyListener listener_of(const ReplyHead& head, const Job::Tell& tell, const CancelToken& cancel) {
  ReplyListener listener;
  listener.on_progress = [&](const IngestProgress& progress) { tell(sse(progress_chunk(head, progress))); };
  listener.on_sources = [&](const std::vector<Source>& sources) {
    if (head.is_chat && !sources.empty()) tell(sse(annotations_chunk(head, sources)));
  };
  const auto tokens = std::make_shared<std::vector<AnswerToken>>();  // of the next piece, where they are wanted
  listener.reply.on_text = [&, tokens](const std::string& text) {
    tell(sse(text_chunk(head, text, std::exchange(*tokens, {}))));
    return !cancel.cancelled();
  };
  listener.reply.on_token = [tokens](const AnswerToken& token) { tokens->push_back(token); };
  listener.reply.on_reasoning = [&](const std::string& text) {
    tell(sse(reasoning_chunk(head, text)));
    return !cancel.cancelled();
  };
  return listener;
}

// The end of a stream, or the whole answer.
std::string ending(const ChatRequest& request, const ReplyHead& head, const ReplyResult& result) {
  if (!request.streams) return dump(whole_reply(head, result)) + "\n";
  std::string text = sse(last_chunk(head, result));
  if (request.with_usage) text += sse(usage_chunk(head, result));
  return text + kLastEvent;
}

void answer(ServerState& state, ParsedChat parsed, std::shared_ptr<Seats::Seat> seat, httplib::Response& response) {
  if (!parsed.problem.status.ok()) return send_error(response, parsed.problem.status, parsed.problem.param);
  ChatRequest& request = parsed.request;
  const Result<std::string> context = context_of(state, request.model);
  if (!context.ok()) return send_error(response, context.status(), "model");
  if (!context.value().empty() && !request.is_chat)
    return send_error(response, 400, "contexts answer chat completions only: POST /v1/chat/completions", "usage",
                      "model");
  const ReplyHead head = new_reply_head(request.model, request.is_chat, request.sampling.top_logprobs >= 0);
  const bool streams = request.streams;
  Job::Run run = [&state, head, context = context.value(), request = std::move(request)](
                     const Job::Tell& tell, const CancelToken& cancel) -> Result<std::string> {
    const auto result = answer_chat(state, request, context, listener_of(head, tell, cancel), cancel);
    if (!result.ok()) return result.status();
    state.metrics.count_answer(result.value().timings);
    if (result.value().finish_reason == "cancelled") return Status{Code::kCancelled, "stopped"};
    return ending(request, head, result.value());
  };
  if (!streams) return send_whole(*seat, std::move(run), response);
  send_stream(std::move(seat), std::move(run), head.is_chat ? sse(role_chunk(head)) : "", response);
}

void parse_and_answer(ServerState& state, const httplib::Request& request, httplib::Response& response,
                      ParsedChat (*parse)(const RequestJson& json, const std::string& body, int64_t window_tokens)) {
  auto seated = take_request(state, request, response);
  if (!seated) return;
  ParsedChat parsed = parse(seated->json, request.body, state.engine.model().trained_window_tokens);
  seated->json = {};  // what was taken from it suffices
  answer(state, std::move(parsed), std::move(seated->seat), response);
}

}  // namespace

void list_models(ServerState& state, const httplib::Request&, httplib::Response& response) {
  const Result<Json> models = models_json(state);
  if (!models.ok()) return send_error(response, models.status());
  send_json(response, 200, {{"object", "list"}, {"data", models.value()}});
}

void show_model(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  const std::string id = request.matches[1];
  const Result<Json> models = models_json(state);
  if (!models.ok()) return send_error(response, models.status());
  for (const Json& model : models.value())
    if (model["id"] == id) return send_json(response, 200, model);
  send_error(response, no_model(id), "model");
}

void chat_completion(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  parse_and_answer(state, request, response, parse_chat);
}

void completion(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  parse_and_answer(state, request, response, parse_completion);
}

}  // namespace reform::tool
