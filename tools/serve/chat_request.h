// OpenAI's requests for a text: /v1/chat/completions and /v1/completions.
#pragma once

#include <reform/ask.h>
#include <reform/generate.h>
#include <reform/status.h>

#include <cstdint>
#include <string>

#include "tools/serve/fields.h"

namespace reform::tool {

struct ChatRequest {
  std::string model;                             // as the client names it
  std::string prompt;                            // the last user's turn; of a completion, the whole text
  bool is_chat = false;                          // else a raw completion
  std::string system;                            // system text
  ChatOptions chat;                              // the turns before are its history
  size_t first_turn = 0;                         // the index of the first of these among the messages
  SamplingOptions sampling;                      // greedy by default, so that the same request gives the same answer
  int64_t gather_tokens = GatherOptions::kAuto;  // of a context
  bool streams = false;
  bool with_usage = false;  // a stream says at its end what it took
};

// A request that cannot be answered, and the field that is why; "": none.
struct BadRequest {
  Status status;
  std::string param;
};

struct ParsedChat {
  ChatRequest request;
  BadRequest problem;  // its status is ok, or `request` is not to be used
};
// `window_tokens`: the model's; an answer without a limit takes a quarter of it at most.
// `body`: what was parsed.
ParsedChat parse_chat(const RequestJson& json, const std::string& body, int64_t window_tokens);
ParsedChat parse_completion(const RequestJson& json, const std::string& body, int64_t window_tokens);

// What requests say of drawing, and how long an answer is at most.
void read_sampling(Fields& fields, SamplingOptions& sampling, int64_t window_tokens);

}  // namespace reform::tool
