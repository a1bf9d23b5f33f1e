#include "runtime/recompute/reply.h"

#include <reform/text.h>

#include <algorithm>
#include <utility>

#include "base/try.h"

namespace reform {
namespace {

// A reasoning opens within so many tokens, or not at all; and it is closed by so many. The template's own or the
// model's white space is among them.
constexpr int64_t kOpeningTokens = ReplyPlan::kMarkerTokens / 2;
constexpr int64_t kClosingTokens = ReplyPlan::kMarkerTokens / 2;

constexpr int64_t kThinkTokens = 1024;

// --ignore-eos is for measuring: so many tokens, whatever they are.
bool tells_apart(const ChatTemplate& chat, const SamplingOptions& sampling) {
  return !chat.reasoning.empty() && !sampling.ignore_end && sampling.max_new_tokens > 0;
}

ReplyPlan plan_of(const ChatTemplate& chat, const SamplingOptions& sampling, const ChatOptions& options) {
  ReplyPlan plan{.sampling = sampling};
  plan.ends_at_blank_line = chat.is_base && !sampling.ignore_end;
  if (!tells_apart(chat, sampling)) return plan;
  plan.markers = chat.reasoning;
  plan.max_reasoning_tokens = options.think == Think::kOff ? 0 : options.think_tokens;
  return plan;
}

// The first line end that a blank line follows, or may follow once more text has come.
struct BlankLine {
  size_t begin;  // npos: there is none
  bool is_whole;
};
BlankLine find_blank_line(std::string_view text) {
  for (size_t at = text.find('\n'); at != text.npos; at = text.find('\n', at + 1)) {
    const size_t end = text.find('\n', at + 1);
    if (is_blank(text.substr(at + 1, end == text.npos ? end : end - at - 1))) return {at, end != text.npos};
  }
  return {text.npos, false};
}

// Where the first line begins that is not blank; the end: there is none.
size_t first_written_line(std::string_view text) {
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != text.npos && is_blank(text.substr(begin, end - begin));
       end = text.find('\n', begin))
    begin = end + 1;
  return is_blank(text.substr(begin)) ? text.size() : begin;
}

// Where `wanted` stands in the text, or the longest beginning of it at the text's end; npos: nowhere.
size_t find_start_of(std::string_view wanted, std::string_view text) {
  if (const size_t at = text.find(wanted); at != text.npos) return at;
  const size_t longest = std::min(wanted.size() - 1, text.size());
  for (size_t at = text.size() - longest; at < text.size(); ++at)
    if (wanted.starts_with(text.substr(at))) return at;
  return text.npos;
}

}  // namespace

ChatOptions chosen_chat(ChatOptions options, const SamplingOptions& sampling, int64_t window_tokens) {
  const int64_t left = std::max<int64_t>(window_tokens - sampling.max_new_tokens, 0);
  if (options.think_tokens == ChatOptions::kAuto) options.think_tokens = std::min(kThinkTokens, left / 4);
  return options;
}

ReplyPlan plan_reply(const ChatTemplate& chat, const Prompt& prompt, const SamplingOptions& sampling,
                     const ChatOptions& options) {
  ReplyPlan plan = plan_of(chat, sampling, options);
  if (!plan.markers.empty()) plan.at_begin = prompt.reasoning;
  return plan;
}

int64_t most_reply_tokens(const ChatTemplate& chat, const SamplingOptions& sampling, const ChatOptions& options) {
  return plan_of(chat, sampling, options).max_tokens();
}

std::string reply_size_options(const ChatTemplate& chat, const SamplingOptions& sampling, const ChatOptions& options) {
  return plan_of(chat, sampling, options).max_reasoning_tokens > 0 ? "-n or --think-tokens" : "-n";
}

Reply::Reply(const Tokenizer& tokenizer, const ReplyPlan& plan, const ReplyCallbacks& callbacks)
    : tokenizer_(tokenizer), plan_(plan), callbacks_(callbacks), splitter_(plan.markers, plan.at_begin) {
  if (plan.sampling.max_new_tokens == 0) out_.finish_reason = "length";
}

// Why the reasoning is to be closed from outside; "": it is not.
std::string Reply::why_over(int32_t drawn) const {
  if (splitter_.at() != At::kReasoning || is_over_) return "";
  if (tokenizer_.is_end(drawn)) return "end";
  const bool closes_itself = tokenizer_.token_bytes(drawn, /*special=*/true) == splitter_.open()->close;
  return out_.reasoning_tokens >= plan_.max_reasoning_tokens && !closes_itself ? "length" : "";
}

// The reasoning is closed as if the model had done so: then it answers.
int32_t Reply::next(int32_t drawn) {
  if (const std::string why = why_over(drawn); !why.empty()) {
    auto closing = tokenizer_.encode_special(closing_text(*splitter_.open()), /*at_start=*/false);
    CHECK(closing.ok() && int64_t(closing.value().size()) <= kClosingTokens);
    closing_ = std::move(closing).value();
    is_over_ = true;
    out_.reasoning_finish_reason = why;
    splitter_.drop_unfinished();
  }
  return is_being_closed() ? closing_[n_closing_++] : drawn;
}

int32_t Reply::take(int32_t drawn, AnswerToken logprobs) {
  const size_t n_closed = n_closing_;
  const int32_t token = next(drawn);
  ++out_.timings.predicted_n;
  if (!plan_.sampling.ignore_end && tokenizer_.is_end(token)) {
    out_.finish_reason = "stop";
    return token;
  }
  const At was = splitter_.at();
  ReasoningSplitter::Parts parts = take_bytes(token);
  const bool closes = n_closing_ > n_closed;
  if (closes || (!is_over_ && (is_reasoning(was) || !parts.reasoning.empty()))) {
    out_.reasoning_tokens = out_.timings.predicted_n;
    excess_bytes_ = 0;
    if (!closes) out_.reasoning_finish_reason = splitter_.at() == At::kReasoning ? "" : "stop";
    const bool is_closed = splitter_.at() != At::kReasoning;
    is_over_ = is_over_ || (is_closed && out_.reasoning_tokens >= plan_.max_reasoning_tokens);
  }
  if (was == At::kStart && splitter_.at() == At::kAnswer) cut_start(parts);
  note_logprobs(token, std::move(logprobs));
  tell(parts);
  if (goes_on() && is_at_limit()) out_.finish_reason = "length";
  return token;
}

// Whether the token just taken is of the reasoning: in it, or of its markers and the white space beside them.
bool Reply::is_reasoning(At was) const {
  return was == At::kReasoning || splitter_.at() == At::kReasoning ||
         (splitter_.at() == At::kStart && splitter_.is_behind_marker() && out_.reasoning_tokens > 0);
}

ReasoningSplitter::Parts Reply::take_bytes(int32_t token) {
  const At was = splitter_.at();
  const std::string bytes = tokenizer_.token_bytes(token, /*special=*/false);
  n_start_tokens_ = was == At::kStart ? n_start_tokens_ + 1 : 0;
  if (was == At::kStart && n_answer() > plan_.sampling.max_new_tokens) excess_bytes_ += bytes.size();
  ReasoningSplitter::Parts parts =
      bytes.empty() ? splitter_.push_special(tokenizer_.token_bytes(token, /*special=*/true)) : splitter_.push(bytes);
  if (n_start_tokens_ >= kOpeningTokens && !is_being_closed()) parts.answer += splitter_.settle().answer;
  return parts;
}

// While nothing told whether a reasoning opens, the answer may have become longer than it may be.
void Reply::cut_start(ReasoningSplitter::Parts& parts) {
  parts.answer.resize(parts.answer.size() - std::min(parts.answer.size(), excess_bytes_));
}

bool Reply::is_at_limit() const {
  if (out_.timings.predicted_n >= plan_.max_tokens()) return true;
  if (is_being_closed() || n_answer() < plan_.sampling.max_new_tokens) return false;
  return is_over_ || splitter_.at() == At::kAnswer;
}

void Reply::end() {
  if (goes_on()) out_.finish_reason = "stop";
}

void Reply::emit(const std::string& piece, std::string& text, const TextCallback& callback) {
  if (piece.empty() || is_refused_) return;
  text += piece;
  is_refused_ = callback && !callback(piece);
  if (is_refused_ && goes_on()) out_.finish_reason = "cancelled";
}

void Reply::emit_answer(const std::string& piece) {
  const size_t end = out_.text.size() + (is_refused_ ? 0 : piece.size());
  for (; !waiting_.empty() && waiting_.front().begin_byte < end; waiting_.pop_front()) {
    if (callbacks_.on_token) callbacks_.on_token(waiting_.front().token);
    out_.tokens.push_back(std::move(waiting_.front().token));
  }
  emit(piece, out_.text, callbacks_.on_text);
}

// Of the token just taken. What comes before it is known to be answer counts as answer if it turns out to be.
void Reply::note_logprobs(int32_t token, AnswerToken logprobs) {
  if (plan_.sampling.top_logprobs < 0) return;
  if (splitter_.at() == At::kReasoning || out_.reasoning_tokens == out_.timings.predicted_n) {
    waiting_.clear(), n_token_bytes_ = 0, n_token_characters_ = 0;
    return;
  }
  const std::string bytes = tokenizer_.token_bytes(token, /*special=*/false);
  if (bytes.empty()) return;  // a special token is not part of the text
  logprobs.begin_character = n_token_characters_;
  waiting_.push_back({std::move(logprobs), n_token_bytes_});
  n_token_bytes_ += bytes.size();
  n_token_characters_ += std::ranges::count_if(bytes, [](char c) { return (c & 0xc0) != 0x80; });
}

void Reply::tell(const ReasoningSplitter::Parts& parts) {
  emit(reasoning_.push(parts.reasoning), out_.reasoning, callbacks_.on_reasoning);
  if (splitter_.at() == At::kAnswer) emit(reasoning_.finish(), out_.reasoning, callbacks_.on_reasoning);
  tell_answer(answer_.push(parts.answer));
}

// --ignore-eos is for measuring: the whole length.
std::span<const std::string> Reply::stop_texts() const {
  if (plan_.sampling.ignore_end) return {};
  return plan_.sampling.stop;
}

Reply::End Reply::find_end() const {
  End end = {held_.npos, false};
  if (plan_.ends_at_blank_line) {
    const size_t begin = has_something_ ? 0 : first_written_line(held_);
    const BlankLine line = find_blank_line(std::string_view(held_).substr(begin));
    if (line.begin != held_.npos) end = {begin + line.begin, line.is_whole};
  }
  for (const std::string& stop : stop_texts()) {
    const size_t at = find_start_of(stop, held_);
    const bool is_sure = at != held_.npos && held_.size() - at >= stop.size();
    if (at < end.begin || (at == end.begin && is_sure)) end = {at, is_sure, true};
  }
  return end;
}

void Reply::tell_answer(const std::string& text) {
  if (is_ended_) return;
  held_ += text;
  const End end = find_end();
  const size_t size = std::min(end.begin, held_.size());
  has_something_ = has_something_ || !is_blank(std::string_view(held_).substr(0, size));
  emit_answer(held_.substr(0, size));
  held_.erase(0, size);
  is_ended_ = end.is_sure;
  out_.is_cut = is_ended_ && end.is_stop_text;
  if (is_ended_ && goes_on()) out_.finish_reason = "stop";
}

// What was held for an end that did not come. A stop text behind what might have been an earlier end still counts.
void Reply::tell_rest() {
  size_t size = held_.size();
  for (const std::string& stop : stop_texts()) size = std::min(size, held_.find(stop));
  out_.is_cut = size < held_.size();
  if (out_.is_cut) out_.finish_reason = "stop";
  emit_answer(held_.substr(0, size));
}

GenerateResult Reply::finish() {
  ReasoningSplitter::Parts parts = splitter_.finish();
  if (splitter_.at() == At::kStart) cut_start(parts);
  if (splitter_.at() == At::kStart && excess_bytes_ > 0 && out_.finish_reason == "stop") out_.finish_reason = "length";
  tell(parts);
  emit(reasoning_.finish(), out_.reasoning, callbacks_.on_reasoning);
  tell_answer(answer_.finish());
  if (!is_ended_) tell_rest();
  return std::move(out_);
}

}  // namespace reform
