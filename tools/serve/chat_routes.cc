// OpenAI's routes: models, and texts that the model writes, whole or as a stream of server-sent events.
#include <fmt/format.h>

#include <chrono>
#include <utility>
#include <variant>

#include "tools/serve/chat_answer.h"
#include "tools/serve/chat_request.h"
#include "tools/serve/http_error.h"
#include "tools/serve/implicit_context.h"
#include "tools/serve/replies.h"
#include "tools/serve/reply_job.h"
#include "tools/serve/state.h"

namespace reform::tool {
namespace {

using namespace std::chrono_literals;

constexpr const char* kContextPrefix = "reform:";
constexpr auto kPoll = 250ms;        // how soon a client that went away is noticed
constexpr auto kFirstWait = 1500ms;  // an error within it has an HTTP status of its own, also in a stream
constexpr auto kKeepAlive = 5s;      // the longest silence of a stream

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

// What came of it. Nobody but the server's end stops a job whose client is still there.
Result<ReplyResult> outcome(Result<ReplyResult> result) {
  const bool was_stopped =
      result.ok() ? result.value().finish_reason == "cancelled" : result.status().code == Code::kCancelled;
  if (was_stopped) return Status{Code::kCancelled, "the server is shutting down; ask again once it is back"};
  return result;
}

// An answer, and what must live as long: its place in the queue goes last.
struct Answering {
  ServerState& state;
  const std::shared_ptr<Seats::Seat> seat;
  const ChatRequest request;
  const ReplyHead head;
  ReplyJob job;
  bool is_begun = false;
  std::chrono::steady_clock::time_point last_write = std::chrono::steady_clock::now();

  Answering(ServerState& s, std::shared_ptr<Seats::Seat> taken, ChatRequest asked, const std::string& context)
      : state(s),
        seat(std::move(taken)),
        request(std::move(asked)),
        head(new_reply_head(request.model, request.is_chat)),
        job(
            [this, context](const ReplyListener& listener, const CancelToken& cancel) {
              auto result = answer_chat(state, request, context, listener, cancel);
              if (result.ok()) state.metrics.count_answer(result.value().timings);
              return result;
            },
            seat->cancel) {}
};

void send_whole(Answering& answering, httplib::Response& response) {
  for (;;) {
    auto event = answering.job.next(kPoll);
    if (client_is_gone()) return;  // the job is stopped where it is taken apart
    if (!event || !std::holds_alternative<Result<ReplyResult>>(*event)) continue;
    const Result<ReplyResult> result = outcome(std::get<Result<ReplyResult>>(std::move(*event)));
    if (!result.ok()) return send_error(response, result.status());
    return send_json(response, 200, whole_reply(answering.head, result.value()));
  }
}

std::string sse(const Json& json) { return "data: " + dump(json) + "\n\n"; }

std::string sse_of(const Answering& a, const IngestProgress& progress) { return sse(progress_chunk(a.head, progress)); }

std::string sse_of(const Answering& a, const std::vector<Source>& sources) {
  return a.head.is_chat && !sources.empty() ? sse(annotations_chunk(a.head, sources)) : "";
}

std::string sse_of(const Answering& a, const TextPiece& piece) {
  return sse(piece.is_reasoning ? reasoning_chunk(a.head, piece.text) : text_chunk(a.head, piece.text, piece.tokens));
}

std::string sse_of(const Answering& a, const Result<ReplyResult>& ended) {
  const Result<ReplyResult> result = outcome(ended);
  if (!result.ok()) return sse(error_body(result.status()));
  std::string text = sse(last_chunk(a.head, result.value()));
  if (a.request.with_usage) text += sse(usage_chunk(a.head, result.value()));
  return text + "data: [DONE]\n\n";
}

// Writes what came next. False: the client is gone.
bool stream_next(Answering& answering, httplib::DataSink& sink) {
  std::string text;
  if (!std::exchange(answering.is_begun, true) && answering.head.is_chat) text = sse(role_chunk(answering.head));
  auto event = answering.job.next(kPoll);
  // The server is about to close all connections: say why.
  while (!event && answering.seat->cancel.cancelled()) event = answering.job.next(kPoll);
  const auto now = std::chrono::steady_clock::now();
  if (event) text += std::visit([&](const auto& of) { return sse_of(answering, of); }, *event);
  if (text.empty() && now - answering.last_write > kKeepAlive) text = ": waiting\n\n";
  if (text.empty()) return sink.is_writable();
  answering.last_write = now;
  if (!sink.write(text.data(), text.size())) return false;
  if (event && std::holds_alternative<Result<ReplyResult>>(*event)) sink.done();
  return true;
}

void send_stream(const std::shared_ptr<Answering>& answering, httplib::Response& response) {
  answering->job.wait(kFirstWait);
  if (const Status failed = answering->job.failed(); !failed.ok())
    return send_error(response, outcome(failed).status());
  response.set_header("Cache-Control", "no-cache");
  response.set_header("X-Accel-Buffering", "no");  // a proxy passes each piece on
  response.set_chunked_content_provider(
      "text/event-stream", [answering](size_t, httplib::DataSink& sink) { return stream_next(*answering, sink); });
}

void answer(ServerState& state, ParsedChat parsed, std::shared_ptr<Seats::Seat> seat, httplib::Response& response) {
  if (!parsed.problem.status.ok()) return send_error(response, parsed.problem.status, parsed.problem.param);
  ChatRequest& request = parsed.request;
  const Result<std::string> context = context_of(state, request.model);
  if (!context.ok()) return send_error(response, context.status(), "model");
  if (!context.value().empty() && !request.is_chat)
    return send_error(response, 400, "contexts answer chat completions only: POST /v1/chat/completions", "usage",
                      "model");
  const auto answering = std::make_shared<Answering>(state, std::move(seat), std::move(request), context.value());
  answering->request.streams ? send_stream(answering, response) : send_whole(*answering, response);
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
