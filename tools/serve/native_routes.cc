// Our own routes: contexts, questions to several of them, passages. Their objects are those of --json (docs/JSON.md).
#include <reform/ask.h>
#include <reform/generate.h>
#include <reform/ranges.h>
#include <reform/search.h>

#include <string>
#include <vector>

#include "tools/serve/chat_request.h"
#include "tools/serve/implicit_context.h"
#include "tools/serve/state.h"

namespace reform::tool {
namespace {

struct Question {
  std::vector<std::string> contexts;
  std::string text;
};

void read_question(Fields& fields, GatherOptions& gather, Question& question) {
  fields.read("contexts", question.contexts);
  if (fields.ok() && question.contexts.empty()) fields.fail("contexts", "expected a name or a list of names");
  for (const std::string& name : question.contexts) {
    if (const Status s = check_may_name(name); !s.ok()) fields.fail("contexts", s.message, s.code);
  }
  fields.read("question", question.text);
  if (fields.ok() && question.text.empty()) fields.fail("question", "is missing");
  fields.read("method", gather.method);
  fields.read("gather_tokens", gather.gather_tokens, ranges::kGatherTokens);
  fields.read("edge_tokens", gather.edge_tokens, ranges::kEdgeTokens);
  fields.read("rounds", gather.rounds, ranges::kRounds);
}

}  // namespace

void health(ServerState&, const httplib::Request&, httplib::Response& response) {
  send_json(response, 200, {{"status", "ok"}});
}

void ready(ServerState& state, const httplib::Request&, httplib::Response& response) {
  const bool is_stopping = state.seats.is_stopped();
  send_json(response, is_stopping ? 503 : 200,
            {{"status", is_stopping ? "stopping" : "ok"}, {"answers", state.seats.n_taken()}});
}

void metrics(ServerState& state, const httplib::Request&, httplib::Response& response) {
  const auto text = state.metrics.text(state.engine, state.store, state.seats);
  if (!text.ok()) return send_error(response, text.status());
  response.set_content(text.value(), "text/plain; version=0.0.4; charset=utf-8");
}

void tokenize_text(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  const auto seated = take_request(state, request, response);
  if (!seated) return;
  Fields fields(seated->json, "");
  std::string text;
  fields.read("text", text);
  if (!seated->json.contains("text")) fields.fail("text", "is missing");
  if (const Status s = fields.finish(); !s.ok()) return send_error(response, s, fields.param());
  const auto tokens = tokenize(state.engine, text);
  if (!tokens.ok()) return send_error(response, tokens.status(), "text");
  Json ids = Json::array(), pieces = Json::array();
  for (const TextToken& token : tokens.value()) {
    ids.push_back(token.id);
    pieces.push_back(token.bytes);
  }
  send_json(response, 200, {{"n_tokens", ids.size()}, {"ids", std::move(ids)}, {"pieces", std::move(pieces)}});
}

void list_contexts(ServerState& state, const httplib::Request&, httplib::Response& response) {
  auto contexts = state.store.list();
  if (!contexts.ok()) return send_error(response, contexts.status());
  std::erase_if(contexts.value(), [](const ContextInfo& c) { return is_implicit_name(c.name); });
  const auto use = state.store.use();
  if (!use.ok()) return send_error(response, use.status());
  send_json(response, 200, with_header("contexts", contexts_fields(state.store.dir(), contexts.value(), use.value())));
}

void show_context(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  if (const Status s = check_may_name(request.matches[1]); !s.ok()) return send_error(response, s);
  const auto context = state.store.find(request.matches[1]);
  if (!context.ok()) return send_error(response, context.status());
  send_json(response, 200, with_header("show", show_fields(state.store.dir(), context.value())));
}

void ask_contexts(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  const auto seated = take_request(state, request, response);
  if (!seated) return;
  Fields fields(seated->json, "");
  AskOptions options;
  Question question;
  read_question(fields, options, question);
  read_sampling(fields, options.sampling, state.engine.model().trained_window_tokens);
  fields.read("system", options.system);
  if (const Status s = fields.finish(); !s.ok()) return send_error(response, s, fields.param());
  const auto result =
      ask(state.engine, state.store, question.contexts, question.text, options, {}, &seated->seat->cancel);
  if (!result.ok()) return send_error(response, result.status());
  state.metrics.count_answer(result.value().timings);
  send_json(response, 200,
            with_header("ask", ask_fields(question.contexts, question.text, result.value(), /*with_prompt=*/false)));
}

void search_contexts(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  const auto seated = take_request(state, request, response);
  if (!seated) return;
  Fields fields(seated->json, "");
  SearchOptions options;
  Question question;
  int64_t top = 0;
  read_question(fields, options, question);
  fields.read("top", top, {0, ranges::kGatherTokens.most});
  if (const Status s = fields.finish(); !s.ok()) return send_error(response, s, fields.param());
  const auto result =
      search(state.engine, state.store, question.contexts, question.text, options, &seated->seat->cancel);
  if (!result.ok()) return send_error(response, result.status());
  state.metrics.count_answer(result.value().timings);
  send_json(response, 200, with_header("search", search_fields(question.contexts, result.value(), top)));
}

}  // namespace reform::tool
