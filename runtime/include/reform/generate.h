// generate: the plain model without a context, for comparing this engine with others.
#pragma once

#include <reform/cancel.h>
#include <reform/chat.h>
#include <reform/engine.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace reform {

struct SamplingOptions {
  double temperature = 0;              // 0: always the likeliest token; the next four fields have no effect then
  int64_t top_k = 40;                  // sample from the K likeliest tokens; 0: all
  double top_p = 0.95;                 // sample from the likeliest tokens that together reach P; 1: all
  double min_p = 0.05;                 // leave out tokens below P times the likeliest one's probability; 0: none
  uint64_t seed = 0;                   // the same seed gives the same text
  int64_t max_new_tokens = 256;        // of the answer; 0: generate() runs the prompt only, ask() only finds
  std::vector<std::string> stop = {};  // the answer ends before the first of these that it would say; none is empty
  // >= 0: each token of the answer comes with its log probability, and with so many of the likeliest ones.
  int64_t top_logprobs = -1;
  // The answer is one JSON value that fits this JSON Schema, a JSON text; docs/SERVE.md says which keywords are known.
  // "": any text.
  std::string json_schema = {};
  // For measuring: no end token ends the text, and no reasoning is told apart; always max_new_tokens.
  bool ignore_end = false;

  REFORM_API Status validate() const;
};

// Natural logarithms of the model's own probabilities, before temperature and the limits to what is drawn from.
struct TokenLogprob {
  std::string bytes;  // of the token; a part of a character, perhaps
  double logprob = 0;
};
struct AnswerToken {
  TokenLogprob chosen;
  int64_t begin_character = 0;    // of the text
  std::vector<TokenLogprob> top;  // the likeliest first
};

struct GenerateOptions {
  SamplingOptions sampling;
  bool chat =
      false;  // the prompt is one user turn in the chat template; else a raw completion that may have special tokens
  std::string system;  // with chat only
  ChatOptions chat_options;
};

struct GenerateResult {
  std::string text;  // without the reasoning
  // "stop" (an end token, or one of SamplingOptions::stop; for a model without a chat template an empty line, too),
  // "length", or "cancelled" (by a callback)
  std::string finish_reason;
  bool is_cut = false;  // by one of SamplingOptions::stop
  // Why the text has nothing to read: "end" (its first token ended the model's turn), "blank" (the model ended it after
  // white space, special tokens or more reasoning only), "stop" (it began with one of SamplingOptions::stop), "length"
  // (max_new_tokens came first), "cancelled"; "": it has something.
  std::string empty_because;
  std::vector<AnswerToken> tokens;  // of the text, with SamplingOptions::top_logprobs
  std::string reasoning;            // what the model said to itself before the text; with chat only
  int64_t reasoning_tokens = 0;     // of timings.predicted_n, markers included
  // "stop" (the model ended its reasoning), "length" (think_tokens did), "end" (the model ended its turn within it, and
  // was made to answer); "": there is none, or it had not ended.
  std::string reasoning_finish_reason;
  Timings timings;
  MemoryReport memory;
  std::string prompt = {};  // as the model saw it, special tokens spelled out
};

// The sentence for a value of empty_because, of an ask's too; "" for "".
REFORM_API const char* explain_empty(std::string_view empty_because);

// Gets a text as it is generated; each piece is whole UTF-8 characters. Return false to stop.
using TextCallback = std::function<bool(const std::string& piece)>;

using TokenCallback = std::function<void(const AnswerToken& token)>;

struct ReplyCallbacks {
  TextCallback on_text;         // the answer's
  TextCallback on_reasoning;    // before it
  TokenCallback on_token = {};  // with SamplingOptions::top_logprobs: of the next piece of the answer, before it comes
};

REFORM_API Result<GenerateResult> generate(Engine& engine, const std::string& prompt, const GenerateOptions& options,
                                           const ReplyCallbacks& callbacks = {}, const CancelToken* cancel = nullptr);

// The most tokens that a reply in the chat template may take: the answer and, of a model that reasons, what it may say
// to itself before. Call it after a first generate() or ask() in the chat template, which prepares it.
REFORM_API int64_t most_reply_tokens(Engine& engine, const SamplingOptions& sampling, const ChatOptions& chat);

struct TextToken {
  int32_t id = 0;
  std::string bytes;
};
// Of a text by itself, without a template. They do not wait for other calls.
REFORM_API Result<std::vector<TextToken>> tokenize(Engine& engine, const std::string& text);
REFORM_API Result<int64_t> count_tokens(Engine& engine, const std::string& text);

}  // namespace reform
