// What a model says to a prompt, token by token: its reasoning and its answer apart, each within its limit.
#pragma once

#include <reform/chat.h>
#include <reform/generate.h>
#include <reform/status.h>

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "runtime/chat/chat_prompt.h"
#include "runtime/chat/reasoning.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

// How a reply is drawn and where it ends.
struct ReplyPlan {
  // The markers around a reasoning, and white space beside them, have at most so many tokens in all.
  static constexpr int64_t kMarkerTokens = 64;

  SamplingOptions sampling;      // max_new_tokens: of the answer
  MarkerList markers = {};       // of a model that reasons; empty: all is answer
  ReasoningState at_begin = {};  // at the prompt's end
  int64_t max_reasoning_tokens = 0;
  bool ends_at_blank_line = false;  // the answer, once it has something to read

  int64_t max_tokens() const {
    return sampling.max_new_tokens + (markers.empty() ? 0 : max_reasoning_tokens + kMarkerTokens);
  }
};

// The options with kAuto replaced.
ChatOptions chosen_chat(ChatOptions options, const SamplingOptions& sampling, int64_t window_tokens);
// Of a reply to a prompt that the template made, by chosen options.
ReplyPlan plan_reply(const ChatTemplate& chat, const Prompt& prompt, const SamplingOptions& sampling,
                     const ChatOptions& options);
// The most tokens of any reply, before its prompt is known: max_tokens() of its plan.
int64_t most_reply_tokens(const ChatTemplate& chat, const SamplingOptions& sampling, const ChatOptions& options);
// The options that make a reply shorter, for advice.
std::string reply_size_options(const ChatTemplate& chat, const SamplingOptions& sampling, const ChatOptions& options);

// The plan and the callbacks must outlive it.
class Reply {
 public:
  Reply(const Tokenizer& tokenizer, const ReplyPlan& plan, const ReplyCallbacks& callbacks);

  // Whether another token is wanted.
  bool goes_on() const { return out_.finish_reason.empty(); }
  // Takes the next token, which the model drew; one that closes the reasoning replaces it. Returns the one taken.
  // `logprobs`: of the token, where they are wanted.
  int32_t take(int32_t drawn, AnswerToken logprobs = {});
  // Whether the next token is one of the answer, and not of the reasoning.
  bool is_answering() const { return splitter_.at() != At::kReasoning && !is_being_closed(); }
  void end();  // the answer is whole
  // Once it no longer goes on: text, reasoning, their counts, and why they ended. The prompt's figures are left out.
  GenerateResult finish();

 private:
  using At = ReasoningSplitter::At;
  // Where in held_ the answer ends, or may end once more text has come.
  struct End {
    size_t begin;  // npos: nowhere
    bool is_sure;
    bool is_stop_text = false;
  };

  bool is_being_closed() const { return n_closing_ < closing_.size(); }
  std::string why_over(int32_t drawn) const;
  int32_t next(int32_t drawn);
  ReasoningSplitter::Parts take_bytes(int32_t token);
  bool is_reasoning(At was) const;
  int64_t n_answer() const { return out_.timings.predicted_n - out_.reasoning_tokens; }
  bool is_at_limit() const;
  void cut_start(ReasoningSplitter::Parts& parts);
  void tell(const ReasoningSplitter::Parts& parts);
  std::span<const std::string> stop_texts() const;
  End find_end() const;
  void tell_answer(const std::string& text);
  void tell_rest();
  void emit(const std::string& piece, std::string& text, const TextCallback& callback);
  void emit_answer(const std::string& piece);
  void note_logprobs(int32_t token, AnswerToken logprobs);

  const Tokenizer& tokenizer_;
  const ReplyPlan& plan_;
  const ReplyCallbacks& callbacks_;
  GenerateResult out_;
  ReasoningSplitter splitter_;
  TextStream reasoning_, answer_;
  bool is_over_ = false;          // the reasoning was closed at its limit, or later: what follows counts as answer
  std::vector<int32_t> closing_;  // what closes it from outside
  size_t n_closing_ = 0;          // of it, tokens that were taken
  int64_t n_start_tokens_ = 0;    // since a reasoning may open
  size_t excess_bytes_ = 0;       // of those tokens that are too many if they turn out to be answer
  std::string held_;              // of the answer: what may be its end
  bool has_something_ = false;    // to read, in the answer
  bool is_ended_ = false;         // the answer, by a stop text or a blank line
  bool is_refused_ = false;       // a callback wants no more

  // A token of the answer, which is told with the text that it begins.
  struct WaitingToken {
    AnswerToken token;
    size_t begin_byte;
  };
  std::deque<WaitingToken> waiting_;
  size_t n_token_bytes_ = 0;  // of all tokens of the answer
  int64_t n_token_characters_ = 0;
};

}  // namespace reform
