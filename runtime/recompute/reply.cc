#include "runtime/recompute/reply.h"

#include <reform/text.h>

#include <algorithm>
#include <utility>

#include "base/try.h"

namespace reform {
namespace {

using At = ReasoningSplitter::At;

constexpr const char* kWhiteSpace = " \t\r\n";

// More than the closing of any model that we know.
constexpr int64_t kMostClosingTokens = 32;

// A model that was not taught to chat goes on behind its answer, with the next question. An empty line is between them.
constexpr const char* kBaseStop = "\n\n";

// --ignore-eos is for measuring: so many tokens, whatever they are.
bool tells_apart(const ChatTemplate& chat, const SamplingOptions& sampling) {
  return chat.reasoning != nullptr && !sampling.ignore_end && sampling.max_new_tokens > 0;
}

int64_t reasoning_limit(const ChatOptions& options) { return options.think == Think::kOff ? 0 : options.think_tokens; }

}  // namespace

Result<ReplyPlan> plan_reply(const Tokenizer& tokenizer, const ChatTemplate& chat, const Prompt& prompt,
                             const SamplingOptions& sampling, const ChatOptions& options) {
  ReplyPlan plan{.sampling = sampling};
  if (chat.name == kBaseTemplate && !sampling.ignore_end) plan.stop = kBaseStop;
  if (!tells_apart(chat, sampling)) return plan;
  plan.reasoning = chat.reasoning;
  plan.reasoning_is_open = prompt.reasoning_is_open;
  plan.max_reasoning_tokens = reasoning_limit(options);
  TRY_ASSIGN(plan.closing, tokenizer.encode_special(closing_text(*chat.reasoning), /*at_start=*/false));
  if (int64_t(plan.closing.size()) > kMostClosingTokens)
    return Status{Code::kInternal, "the closing of a reasoning is longer than its reserve"};
  return plan;
}

int64_t most_reply_tokens(const ChatTemplate& chat, const SamplingOptions& sampling, const ChatOptions& options) {
  const int64_t reasoning = tells_apart(chat, sampling) ? reasoning_limit(options) + kMostClosingTokens : 0;
  return sampling.max_new_tokens + reasoning;
}

Reply::Reply(const Tokenizer& tokenizer, const ReplyPlan& plan, const ReplyCallbacks& callbacks)
    : tokenizer_(tokenizer), plan_(plan), callbacks_(callbacks), splitter_(plan.reasoning, plan.reasoning_is_open) {
  if (plan.sampling.max_new_tokens == 0) out_.finish_reason = "length";
}

// A reasoning at its limit, or that a model ends its turn within, is closed as if the model had done so: then it
// answers.
int32_t Reply::next(int32_t drawn) {
  const bool is_over = splitter_.at() == At::kReasoning &&
                       (out_.reasoning_tokens >= plan_.max_reasoning_tokens || tokenizer_.is_end(drawn));
  if (n_closing_ == 0 ? !is_over : n_closing_ == plan_.closing.size()) return drawn;
  out_.reasoning_cut = true;
  return plan_.closing[n_closing_++];
}

int32_t Reply::take(int32_t drawn) {
  const size_t n_closed = n_closing_;
  const int32_t token = next(drawn);
  const bool was_reasoning = splitter_.at() == At::kReasoning || n_closing_ > n_closed;
  ++out_.timings.predicted_n;
  if (!plan_.sampling.ignore_end && tokenizer_.is_end(token)) {
    out_.finish_reason = "stop";
    return token;
  }
  const std::string bytes = tokenizer_.token_bytes(token, /*special=*/false);
  tell(bytes.empty() ? splitter_.push_special(tokenizer_.token_bytes(token, /*special=*/true)) : splitter_.push(bytes));
  if (was_reasoning || splitter_.at() == At::kReasoning) out_.reasoning_tokens = out_.timings.predicted_n;
  if (goes_on() && is_at_limit()) out_.finish_reason = "length";
  return token;
}

bool Reply::is_at_limit() const {
  const int64_t n = out_.timings.predicted_n;
  if (splitter_.at() == At::kReasoning || splitter_.may_open()) return n >= plan_.max_tokens();
  return n - out_.reasoning_tokens >= plan_.sampling.max_new_tokens;
}

void Reply::emit(const std::string& piece, std::string& text, const TextCallback& callback) {
  if (piece.empty() || out_.finish_reason == "cancelled") return;
  text += piece;
  if (callback && !callback(piece)) out_.finish_reason = "cancelled";
}

void Reply::tell(const ReasoningSplitter::Parts& parts) {
  if (!parts.reasoning.empty()) emit(reasoning_.push(parts.reasoning), out_.reasoning, callbacks_.on_reasoning);
  if (!parts.answer.empty()) tell_answer(answer_.push(parts.answer));
}

void Reply::tell_answer(const std::string& text) {
  if (is_stopped_) return;
  held_ += text;
  size_t end = held_.size();
  if (!plan_.stop.empty()) {
    const size_t begin = is_blank(out_.text) ? std::min(held_.find_first_not_of(kWhiteSpace), end) : 0;
    const size_t stop = held_.find(plan_.stop, begin);
    is_stopped_ = stop != held_.npos;
    end = is_stopped_ ? stop : end - unfinished_end(std::string_view(held_).substr(begin), plan_.stop);
  }
  emit(held_.substr(0, end), out_.text, callbacks_.on_text);
  held_.erase(0, end);
  if (is_stopped_ && goes_on()) out_.finish_reason = "stop";
}

GenerateResult Reply::finish() {
  tell(splitter_.finish());
  emit(reasoning_.finish(), out_.reasoning, callbacks_.on_reasoning);
  tell_answer(answer_.finish());
  if (!is_stopped_) emit(held_, out_.text, callbacks_.on_text);
  return std::move(out_);
}

}  // namespace reform
