// What a model says to a prompt, token by token: its reasoning and its answer apart, each within its limit.
#pragma once

#include <reform/chat.h>
#include <reform/generate.h>
#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/chat/chat_prompt.h"
#include "runtime/chat/reasoning.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

// How a reply is drawn and where it ends.
struct ReplyPlan {
  SamplingOptions sampling;  // max_new_tokens: of the answer
  // Of a model that reasons; nullptr: all is answer.
  const ReasoningMarkers* reasoning = nullptr;
  bool reasoning_is_open = false;  // the prompt ends within it
  int64_t max_reasoning_tokens = 0;
  std::vector<int32_t> closing = {};  // ends the reasoning at its limit, on top of it
  std::string stop = {};  // the answer ends before this text, but not before it has something to read; "": none

  // What makes it shorter, for advice.
  const char* size_options() const { return max_reasoning_tokens > 0 ? "-n or --think-tokens" : "-n"; }
  int64_t max_tokens() const { return sampling.max_new_tokens + max_reasoning_tokens + int64_t(closing.size()); }
};

// Of a reply to a prompt that the template made.
Result<ReplyPlan> plan_reply(const Tokenizer& tokenizer, const ChatTemplate& chat, const Prompt& prompt,
                             const SamplingOptions& sampling, const ChatOptions& options);
// The most tokens of any reply, before its prompt is known.
int64_t most_reply_tokens(const ChatTemplate& chat, const SamplingOptions& sampling, const ChatOptions& options);

class Reply {
 public:
  Reply(const Tokenizer& tokenizer, const ReplyPlan& plan, const ReplyCallbacks& callbacks);

  // Whether another token is wanted.
  bool goes_on() const { return out_.finish_reason.empty(); }
  // Takes the next token, which the model drew; one that closes the reasoning replaces it. Returns the one taken.
  int32_t take(int32_t drawn);
  // Once it no longer goes on: text, reasoning, their counts, and why it ended. The prompt's figures are left out.
  GenerateResult finish();

 private:
  int32_t next(int32_t drawn);
  void count();
  void tell(const ReasoningSplitter::Parts& parts);
  void tell_answer(const std::string& text);
  void emit(const std::string& piece, std::string& text, const TextCallback& callback);
  bool is_at_limit() const;

  const Tokenizer& tokenizer_;
  const ReplyPlan& plan_;
  const ReplyCallbacks& callbacks_;
  GenerateResult out_;
  ReasoningSplitter splitter_;
  TextStream reasoning_, answer_;
  std::string held_;         // of the answer: what plan_.stop may begin with
  bool is_stopped_ = false;  // by plan_.stop
  size_t n_closing_ = 0;     // tokens of plan_.closing that were taken
};

}  // namespace reform
