#include "tools/serve/chat_request.h"

#include <fmt/format.h>
#include <reform/ranges.h>
#include <reform/text.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "tools/serve/raw_member.h"

namespace reform::tool {
namespace {

constexpr int64_t kUsualNewTokens = 1024;

// What clients send and what has no effect here: notes for billing, hints for a service's caches.
constexpr const char* kNoEffect[] = {"user",         "metadata",         "store",
                                     "service_tier", "prompt_cache_key", "safety_identifier"};

void refuse_unsupported(Fields& fields) {
  for (const char* name : kNoEffect) fields.skip(name);
  const RequestJson none = RequestJson::array(), empty = RequestJson::object();
  fields.refuse_unless("n", {1});
  fields.refuse_unless("logit_bias", {empty});
  fields.refuse_unless("presence_penalty", {0});
  fields.refuse_unless("frequency_penalty", {0});
  fields.refuse_unless("repetition_penalty", {1});
  fields.refuse_unless("tools", {none});
  fields.refuse_unless("functions", {none});
  fields.refuse_unless("tool_choice", {"none", "auto"});
  fields.refuse_unless("function_call", {"none", "auto"});
  fields.refuse_unless("parallel_tool_calls", {true, false});
  fields.refuse_unless("modalities", {RequestJson::array({"text"})});
}

void read_stream(Fields& fields, ChatRequest& request) {
  fields.read("stream", request.streams);
  const RequestJson* options = fields.take("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) return fields.fail("stream_options", "expected an object");
  Fields of(*options, "stream_options.");
  of.read("include_usage", request.with_usage);
  of.skip("include_obfuscation");
  fields.adopt(of, "stream_options");
}

// A message's content: a text, or a list of parts that are texts.
std::string content_of(Fields& message) {
  const RequestJson* content = message.take("content");
  if (content == nullptr) return "";
  if (content->is_string()) return content->get<std::string>();
  std::string text;
  if (!content->is_array()) {
    message.fail("content", "expected a text or a list of parts");
    return text;
  }
  for (const RequestJson& part : *content) {
    const bool is_text = part.is_object() && part.value("type", RequestJson()) == "text" && part.contains("text") &&
                         part["text"].is_string();
    if (!is_text) message.fail("content", "has a part that is no text; this server's models read text alone");
    if (is_text) text += part["text"].get<std::string>();
  }
  return text;
}

// The system text, the turns before, and the last user's turn.
void take_messages(Fields& fields, ChatRequest& request) {
  const RequestJson* list = fields.take("messages");
  if (list == nullptr || !list->is_array() || list->empty())
    return fields.fail("messages", "expected a list of messages");
  bool turns_began = false;
  for (size_t i = 0; i < list->size() && fields.ok(); ++i) {
    const std::string name = fmt::format("messages[{}]", i);
    if (!(*list)[i].is_object()) return fields.fail(name, "expected an object");
    Fields message((*list)[i], name + ".");
    std::string role;
    message.read("role", role);
    std::string content = content_of(message);
    // What answers of ours and of others' carry comes back with them.
    for (const char* known : {"name", "annotations", "reasoning_content", "refusal", "audio"}) message.skip(known);
    message.refuse_unless("tool_calls", {RequestJson::array()});
    message.refuse_unless("function_call", {});
    if (!fields.adopt(message, message.param())) return;
    if (role == "system" || role == "developer") {
      if (turns_began) return fields.fail(name + ".role", "is system behind a turn; system texts come first");
      request.system += (request.system.empty() ? "" : "\n\n") + content;
      continue;
    }
    if (role != "user" && role != "assistant")
      return fields.fail(name + ".role", "is not supported; expected system, developer, user or assistant");
    if (!std::exchange(turns_began, true)) request.first_turn = i;
    request.chat.history.push_back({std::move(role), std::move(content)});
  }
  if (!fields.ok()) return;
  if (request.chat.history.empty() || request.chat.history.back().role != "user")
    return fields.fail("messages", "the last one must be a user's");
  request.prompt = std::move(request.chat.history.back().content);
  request.chat.history.pop_back();
  if (is_blank(request.prompt)) fields.fail("messages", "the last user's message has nothing to read");
}

void take_template_options(Fields& fields, ChatOptions& chat) {
  if (const RequestJson* variables = fields.take("chat_template_kwargs"); variables != nullptr) {
    if (!variables->is_object()) fields.fail("chat_template_kwargs", "expected an object");
    chat.variables = variables->dump(-1, ' ', false, RequestJson::error_handler_t::replace);
  }
  std::string effort;
  fields.read("reasoning_effort", effort);
  if (effort == "none") chat.think = Think::kOff;
  constexpr const char* kEfforts[] = {"", "none", "minimal", "low", "medium", "high"};
  if (std::ranges::find(kEfforts, effort) == std::end(kEfforts))
    fields.fail("reasoning_effort", "expected none, minimal, low, medium or high");
}

ParsedChat parsed(Fields& fields, ChatRequest request) {
  Status status = fields.finish();
  std::string param = fields.param();
  if (status.ok()) status = request.sampling.validate();
  if (status.ok()) status = request.chat.validate();
  return {std::move(request), {std::move(status), std::move(param)}};
}

void take_common(Fields& fields, ChatRequest& request, int64_t window_tokens) {
  fields.read("model", request.model);
  if (fields.ok() && request.model.empty()) fields.fail("model", "is missing; GET /v1/models lists what there is");
  read_sampling(fields, request.sampling, window_tokens);
  read_stream(fields, request);
  refuse_unsupported(fields);
}

}  // namespace

void read_sampling(Fields& fields, SamplingOptions& sampling, int64_t window_tokens) {
  constexpr Range<int64_t> kSeeds{std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  int64_t seed = 0;
  sampling.max_new_tokens = std::max<int64_t>(1, std::min(kUsualNewTokens, window_tokens / 4));
  fields.read("temperature", sampling.temperature, ranges::kTemperature);
  fields.read("top_p", sampling.top_p, ranges::kShare);
  fields.read("top_k", sampling.top_k, ranges::kTopK);
  fields.read("min_p", sampling.min_p, ranges::kShare);
  fields.read("seed", seed, kSeeds);
  fields.read("stop", sampling.stop);
  if (int64_t(sampling.stop.size()) > ranges::kStopTexts.most)
    fields.fail("stop", fmt::format("expected {} texts at most", ranges::kStopTexts.most));
  for (const std::string& text : sampling.stop) {
    if (text.empty() || int64_t(text.size()) > ranges::kStopBytes.most)
      fields.fail("stop", fmt::format("expected texts of 1 to {} bytes", ranges::kStopBytes.most));
  }
  fields.read("max_tokens", sampling.max_new_tokens, {1, ranges::kNewTokens.most});
  fields.read("max_completion_tokens", sampling.max_new_tokens, {1, ranges::kNewTokens.most});
  sampling.seed = uint64_t(seed);
}

namespace {

void read_chat_logprobs(Fields& fields, SamplingOptions& sampling) {
  bool are_wanted = false;
  int64_t n_top = 0;
  fields.read("logprobs", are_wanted);
  fields.read("top_logprobs", n_top, {0, ranges::kTopLogprobs.most});
  if (n_top > 0 && !are_wanted) fields.fail("top_logprobs", "needs 'logprobs': true");
  if (are_wanted) sampling.top_logprobs = n_top;
}

// What the answer must be: any text, any JSON object, or JSON that fits a schema.
void read_format(Fields& fields, const std::string& body, SamplingOptions& sampling) {
  const char* const kField = "response_format";
  const RequestJson* format = fields.take(kField);
  if (format == nullptr) return;
  if (!format->is_object()) return fields.fail(kField, "expected an object");
  Fields of(*format, "response_format.");
  std::string type;
  of.read("type", type);
  const RequestJson* given = of.take("json_schema");
  if (!fields.adopt(of, kField)) return;
  if (type == "text") return;
  sampling.json_schema = R"({"type": "object"})";
  if (type == "json_schema") {
    if (given == nullptr || !given->is_object()) return fields.fail(kField, "json_schema: expected an object");
    Fields words(*given, "response_format.json_schema.");
    for (const char* known : {"name", "description", "strict"}) words.skip(known);
    const bool has_schema = words.take("schema") != nullptr;
    if (!fields.adopt(words, kField)) return;
    if (has_schema) sampling.json_schema = raw_member(raw_member(raw_member(body, kField), "json_schema"), "schema");
    if (sampling.json_schema.empty()) return fields.fail(kField, "write its names without escapes");
  } else if (type != "json_object") {
    return fields.fail(kField, "type: expected text, json_object or json_schema");
  }
  if (const Status s = sampling.validate(); !s.ok()) fields.fail(kField, s.message);
}

}  // namespace

ParsedChat parse_chat(const RequestJson& json, const std::string& body, int64_t window_tokens) {
  ChatRequest request;
  request.is_chat = true;
  Fields fields(json, "");
  take_common(fields, request, window_tokens);
  read_chat_logprobs(fields, request.sampling);
  read_format(fields, body, request.sampling);
  take_messages(fields, request);
  take_template_options(fields, request.chat);
  fields.read("gather_tokens", request.gather_tokens, ranges::kGatherTokens);
  return parsed(fields, std::move(request));
}

ParsedChat parse_completion(const RequestJson& json, const std::string&, int64_t window_tokens) {
  ChatRequest request;
  Fields fields(json, "");
  take_common(fields, request, window_tokens);
  std::vector<std::string> prompts;
  fields.read("prompt", prompts);
  if (prompts.size() != 1) fields.fail("prompt", "expected one text");
  if (prompts.size() == 1) request.prompt = std::move(prompts[0]);
  if (fields.ok() && is_blank(request.prompt)) fields.fail("prompt", "has nothing to read");
  fields.read("logprobs", request.sampling.top_logprobs, {0, ranges::kTopLogprobs.most});
  fields.refuse_unless("response_format", {RequestJson::object({{"type", "text"}})});
  fields.refuse_unless("echo", {false});
  fields.refuse_unless("best_of", {1});
  fields.refuse_unless("suffix", {""});
  return parsed(fields, std::move(request));
}

}  // namespace reform::tool
