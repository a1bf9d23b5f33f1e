// Answers as OpenAI's clients read them, whole or as a stream of chunks. What is ours is in fields of our own:
// `annotations` (the passages that the model saw) and `reform`.
#pragma once

#include <reform/ask.h>
#include <reform/generate.h>
#include <reform/ingest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tools/json_output.h"

namespace reform::tool {

// What came of a request, of a context or of the bare model.
struct ReplyResult {
  std::string text, reasoning, finish_reason;
  std::vector<AnswerToken> tokens;
  std::vector<Source> sources;
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0, reasoning_tokens = 0;
  Timings timings;
  Json reform;  // what we say beside
};
ReplyResult reply_result(AskResult result, const std::string& context);
ReplyResult reply_result(GenerateResult result);

// What all objects of one answer begin with.
struct ReplyHead {
  std::string id;
  int64_t created_unix_s = 0;
  std::string model;
  bool is_chat = false, has_logprobs = false;
};
ReplyHead new_reply_head(const std::string& model, bool is_chat, bool has_logprobs = false);

Json annotations_json(const std::vector<Source>& sources);
Json whole_reply(const ReplyHead& head, const ReplyResult& result);

Json progress_json(const IngestProgress& progress);

// Chunks of a stream.
Json role_chunk(const ReplyHead& head);
Json text_chunk(const ReplyHead& head, const std::string& piece, const std::vector<AnswerToken>& tokens);
Json reasoning_chunk(const ReplyHead& head, const std::string& piece);
Json annotations_chunk(const ReplyHead& head, const std::vector<Source>& sources);
Json progress_chunk(const ReplyHead& head, const IngestProgress& progress);
Json last_chunk(const ReplyHead& head, const ReplyResult& result);
Json usage_chunk(const ReplyHead& head, const ReplyResult& result);

}  // namespace reform::tool
