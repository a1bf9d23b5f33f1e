#include "tools/serve/replies.h"

#include <fmt/format.h>
#include <utf8cpp/utf8.h>

#include <cmath>
#include <ctime>
#include <random>
#include <utility>

namespace reform::tool {
namespace {

Json head_json(const ReplyHead& head, const char* object) {
  return {{"id", head.id}, {"object", object}, {"created", head.created_unix_s}, {"model", head.model}};
}

Json usage_json(const ReplyResult& result) {
  return {{"prompt_tokens", result.prompt_tokens},
          {"completion_tokens", result.completion_tokens},
          {"total_tokens", result.prompt_tokens + result.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", result.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", result.reasoning_tokens}}}};
}

Json bytes_json(const std::string& bytes) {
  Json list = Json::array();
  for (const char c : bytes) list.push_back(int((unsigned char)c));
  return list;
}

// A part of a character has no text; it is named by its bytes, as OpenAI does.
std::string name_of(const std::string& bytes) {
  if (utf8::is_valid(bytes.begin(), bytes.end())) return bytes;
  std::string name = "bytes:";
  for (const char c : bytes) name += fmt::format("\\x{:02x}", (unsigned char)c);
  return name;
}

Json chat_logprob(const TokenLogprob& token) {
  return {{"token", name_of(token.bytes)}, {"logprob", token.logprob}, {"bytes", bytes_json(token.bytes)}};
}

// As chat completions have them.
Json chat_logprobs(const std::vector<AnswerToken>& tokens) {
  Json list = Json::array();
  for (const AnswerToken& token : tokens) {
    Json one = chat_logprob(token.chosen);
    one["top_logprobs"] = Json::array();
    for (const TokenLogprob& top : token.top) one["top_logprobs"].push_back(chat_logprob(top));
    list.push_back(std::move(one));
  }
  return {{"content", std::move(list)}, {"refusal", nullptr}};
}

// As completions have them: a list for each field.
Json completion_logprobs(const std::vector<AnswerToken>& tokens) {
  Json json = {{"tokens", Json::array()},
               {"token_logprobs", Json::array()},
               {"top_logprobs", Json::array()},
               {"text_offset", Json::array()}};
  for (const AnswerToken& token : tokens) {
    Json top = Json::object();
    for (const TokenLogprob& t : token.top) top[name_of(t.bytes)] = t.logprob;
    json["tokens"].push_back(name_of(token.chosen.bytes));
    json["token_logprobs"].push_back(token.chosen.logprob);
    json["top_logprobs"].push_back(std::move(top));
    json["text_offset"].push_back(token.begin_character);
  }
  return json;
}

Json logprobs_json(const ReplyHead& head, const std::vector<AnswerToken>& tokens) {
  if (!head.has_logprobs) return nullptr;
  return head.is_chat ? chat_logprobs(tokens) : completion_logprobs(tokens);
}

Json chunk(const ReplyHead& head, Json choice) {
  choice["index"] = 0;
  if (!choice.contains("logprobs")) choice["logprobs"] = nullptr;
  if (!choice.contains("finish_reason")) choice["finish_reason"] = nullptr;
  Json json = head_json(head, head.is_chat ? "chat.completion.chunk" : "text_completion");
  json["choices"] = Json::array({std::move(choice)});
  return json;
}

Json delta_chunk(const ReplyHead& head, const char* field, Json value) {
  return chunk(head, {{"delta", {{field, std::move(value)}}}});
}

std::string random_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}", random(), random(), random());
}

void take_timings(const Timings& timings, Json& reform) {
  reform["timings"] = {
      {"total_ms", timings.total_ms}, {"prompt_ms", timings.prompt_ms}, {"predicted_ms", timings.predicted_ms}};
  for (const auto& [phase, ms] : timings.phases_ms) reform["timings"][phase] = ms;
}

}  // namespace

ReplyResult reply_result(AskResult result, const std::string& context) {
  ReplyResult out;
  out.reform = {{"context", context},
                {"method", result.method},
                {"confidence", result.confidence < 0 ? Json() : Json(result.confidence)},
                {"gathered_tokens", result.gathered_tokens},
                {"empty_because", result.empty_because}};
  take_timings(result.timings, out.reform);
  out.timings = result.timings;
  out.prompt_tokens = result.recomputed_tokens;
  out.cached_tokens = result.timings.cached_n;
  out.completion_tokens = result.timings.predicted_n;
  out.reasoning_tokens = result.reasoning_tokens;
  out.text = std::move(result.answer);
  out.tokens = std::move(result.tokens);
  out.reasoning = std::move(result.reasoning);
  out.finish_reason = std::move(result.finish_reason);
  out.sources = std::move(result.sources);
  return out;
}

ReplyResult reply_result(GenerateResult result) {
  ReplyResult out;
  out.reform = {{"context", nullptr}, {"empty_because", result.empty_because}};
  take_timings(result.timings, out.reform);
  out.timings = result.timings;
  out.prompt_tokens = result.timings.prompt_n;
  out.cached_tokens = result.timings.cached_n;
  out.completion_tokens = result.timings.predicted_n;
  out.reasoning_tokens = result.reasoning_tokens;
  out.text = std::move(result.text);
  out.tokens = std::move(result.tokens);
  out.reasoning = std::move(result.reasoning);
  out.finish_reason = std::move(result.finish_reason);
  return out;
}

ReplyHead new_reply_head(const std::string& model, bool is_chat, bool has_logprobs) {
  return {(is_chat ? "chatcmpl-" : "cmpl-") + random_id(), int64_t(std::time(nullptr)), model, is_chat, has_logprobs};
}

Json annotations_json(const std::vector<Source>& sources) {
  Json list = Json::array();
  for (const Source& source : sources) {
    const bool has_score = !source.edge && !std::isnan(source.score);
    const std::string title = source.context + "/" + source.file;
    list.push_back(
        {{"type", "url_citation"},
         {"url_citation", {{"url", "reform:" + title}, {"title", title}, {"start_index", 0}, {"end_index", 0}}},
         {"passage",
          {{"context", source.context},
           {"file", source.file},
           {"begin_byte", source.begin_byte},
           {"end_byte", source.end_byte},
           {"begin_line", source.begin_line},
           {"score", has_score ? Json(source.score) : Json()},
           {"quote", source.text}}}});
  }
  return list;
}

Json whole_reply(const ReplyHead& head, const ReplyResult& result) {
  Json choice = {
      {"index", 0}, {"finish_reason", result.finish_reason}, {"logprobs", logprobs_json(head, result.tokens)}};
  if (head.is_chat) {
    Json message = {{"role", "assistant"}, {"content", result.text}};
    if (!result.reasoning.empty()) message["reasoning_content"] = result.reasoning;
    if (!result.sources.empty()) message["annotations"] = annotations_json(result.sources);
    choice["message"] = std::move(message);
  } else {
    choice["text"] = result.text;
  }
  Json json = head_json(head, head.is_chat ? "chat.completion" : "text_completion");
  json["choices"] = Json::array({std::move(choice)});
  json["usage"] = usage_json(result);
  json["reform"] = result.reform;
  return json;
}

Json role_chunk(const ReplyHead& head) { return chunk(head, {{"delta", {{"role", "assistant"}, {"content", ""}}}}); }

Json text_chunk(const ReplyHead& head, const std::string& piece, const std::vector<AnswerToken>& tokens) {
  Json choice = head.is_chat ? Json{{"delta", {{"content", piece}}}} : Json{{"text", piece}};
  choice["logprobs"] = logprobs_json(head, tokens);
  return chunk(head, std::move(choice));
}

Json reasoning_chunk(const ReplyHead& head, const std::string& piece) {
  return delta_chunk(head, "reasoning_content", piece);
}

Json annotations_chunk(const ReplyHead& head, const std::vector<Source>& sources) {
  return delta_chunk(head, "annotations", annotations_json(sources));
}

Json progress_json(const IngestProgress& progress) {
  return {{"phase", progress.phase},
          {"tokens_done", progress.tokens_done},
          {"tokens_total", progress.tokens_total},
          {"eta_s", progress.eta_s < 0 ? Json() : Json(progress.eta_s)}};
}

// Clients that do not know it see an empty delta.
Json progress_chunk(const ReplyHead& head, const IngestProgress& progress) {
  Json json = chunk(head, head.is_chat ? Json{{"delta", Json::object()}} : Json{{"text", ""}});
  json["reform"] = {{"progress", progress_json(progress)}};
  return json;
}

Json last_chunk(const ReplyHead& head, const ReplyResult& result) {
  Json choice = head.is_chat ? Json{{"delta", Json::object()}} : Json{{"text", ""}};
  choice["finish_reason"] = result.finish_reason;
  Json json = chunk(head, std::move(choice));
  json["reform"] = result.reform;
  return json;
}

Json usage_chunk(const ReplyHead& head, const ReplyResult& result) {
  Json json = head_json(head, head.is_chat ? "chat.completion.chunk" : "text_completion");
  json["choices"] = Json::array();
  json["usage"] = usage_json(result);
  return json;
}

}  // namespace reform::tool
