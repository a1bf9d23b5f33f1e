#include "runtime/chat/reasoning.h"

#include <algorithm>
#include <utility>

namespace reform {
namespace {

using At = ReasoningSplitter::At;

constexpr const char* kWhiteSpace = " \t\r\n";

// As models write them, and as the servers that tell them apart know them.
constexpr ReasoningMarkers kMarkers[] = {
    {"<think>", "</think>"},
    {"<thought>", "</thought>"},
    {"<thinking>", "</thinking>"},
    {"<reasoning>", "</reasoning>"},
    {"<seed:think>", "</seed:think>"},
    {"[THINK]", "[/THINK]"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<|inner_prefix|>", "<|inner_suffix|>"},
    {"◁think▷", "◁/think▷"},
};

// What the template writes behind the last message.
std::string_view tail_of(const jinja::Text& prompt) {
  size_t end = 0;
  for (const jinja::Origin& origin : prompt.origins())
    if (origin.source >= 0) end = origin.end;
  return std::string_view(prompt.bytes()).substr(end);
}

// The length of the longest end of `text` that `marker` may begin with.
size_t unfinished_end(std::string_view text, std::string_view marker) {
  for (size_t n = std::min(text.size(), marker.size() - 1); n > 0; --n)
    if (marker.starts_with(text.substr(text.size() - n))) return n;
  return 0;
}

}  // namespace

MarkerList find_reasoning_markers(std::string_view template_source) {
  MarkerList found;
  for (const ReasoningMarkers& markers : kMarkers) {
    if (template_source.find(markers.open) != template_source.npos ||
        template_source.find(markers.close) != template_source.npos)
      found.push_back(&markers);
  }
  return found;
}

ReasoningState reasoning_at_end(const jinja::Text& prompt, const MarkerList& markers) {
  const std::string_view tail = tail_of(prompt);
  ReasoningState state;
  for (const ReasoningMarkers* one : markers) {
    const size_t open = tail.rfind(one->open), close = tail.rfind(one->close);
    if (open != tail.npos && (close == tail.npos || close < open)) return {false, one};
    state.is_closed = state.is_closed || close != tail.npos;
  }
  return state;
}

std::string closing_text(const ReasoningMarkers& markers) { return "\n" + std::string(markers.close) + "\n\n"; }

void set_reasoning(Think think, bool has_switch, const MarkerList& markers, jinja::Text& prompt) {
  const ReasoningState state = reasoning_at_end(prompt, markers);
  if (think == Think::kAuto || state.is_closed || (state.open == nullptr && has_switch)) return;
  if (state.open == nullptr) prompt.append(std::string(markers[0]->open) + "\n");
  if (think == Think::kOff) prompt.append(closing_text(state.open == nullptr ? *markers[0] : *state.open));
}

ReasoningSplitter::ReasoningSplitter(MarkerList markers, const ReasoningState& prompt)
    : markers_(std::move(markers)), open_(prompt.open), follows_marker_(prompt.is_closed || prompt.open != nullptr) {
  if (open_ != nullptr) at_ = At::kReasoning;
  if (markers_.empty()) at_ = At::kAnswer;
}

bool ReasoningSplitter::is_behind_marker() const {
  return follows_marker_ && held_.find_first_not_of(kWhiteSpace) == held_.npos;
}

ReasoningSplitter::Parts ReasoningSplitter::push(std::string_view bytes) {
  held_ += bytes;
  return advance();
}

ReasoningSplitter::Parts ReasoningSplitter::push_special(std::string_view token) {
  const bool is_marker = std::any_of(markers_.begin(), markers_.end(), [&](const ReasoningMarkers* one) {
    return token == one->open || token == one->close;
  });
  return is_marker && at_ != At::kAnswer ? push(token) : Parts();
}

ReasoningSplitter::Parts ReasoningSplitter::settle() {
  if (at_ == At::kStart) at_ = At::kAnswer;
  return advance();
}

void ReasoningSplitter::drop_unfinished() {
  if (at_ == At::kReasoning) held_.erase(held_.size() - unfinished_end(held_, open_->close));
}

ReasoningSplitter::Parts ReasoningSplitter::advance() {
  Parts parts;
  for (At before = at_;; before = at_) {
    if (at_ == At::kStart)
      take_start();
    else if (at_ == At::kReasoning)
      take_reasoning(parts);
    else
      take_answer(parts);
    if (at_ == before) return parts;
  }
}

void ReasoningSplitter::drop_white_space() {
  if (!follows_marker_) return;
  held_.erase(0, std::min(held_.find_first_not_of(kWhiteSpace), held_.size()));
  follows_marker_ = held_.empty();
}

// Takes a marker at the beginning of what is held, behind white space.
bool ReasoningSplitter::take_marker_at_start() {
  const size_t begin = std::min(held_.find_first_not_of(kWhiteSpace), held_.size());
  const std::string_view rest = std::string_view(held_).substr(begin);
  for (const ReasoningMarkers* one : markers_) {
    const bool opens = rest.starts_with(one->open);
    if (!opens && !rest.starts_with(one->close)) continue;
    held_.erase(0, begin + (opens ? one->open : one->close).size());
    follows_marker_ = true;
    at_ = opens ? At::kReasoning : At::kStart;
    if (opens) open_ = one;
    return true;
  }
  return false;
}

bool ReasoningSplitter::may_become_marker() const {
  const size_t begin = std::min(held_.find_first_not_of(kWhiteSpace), held_.size());
  const std::string_view rest = std::string_view(held_).substr(begin);
  return std::any_of(markers_.begin(), markers_.end(), [&](const ReasoningMarkers* one) {
    return one->open.starts_with(rest) || one->close.starts_with(rest);
  });
}

void ReasoningSplitter::take_start() {
  while (take_marker_at_start())
    if (at_ == At::kReasoning) return;
  if (!may_become_marker()) at_ = At::kAnswer;
}

void ReasoningSplitter::take_reasoning(Parts& parts) {
  if (follows_marker_) {
    while (take_marker_at_start())  // the template had opened it already
      if (at_ != At::kReasoning) return;
    if (may_become_marker()) return;
    drop_white_space();
    if (has_reasoned_ && !held_.empty()) parts.reasoning += "\n\n";  // a second one
  }
  const size_t close = held_.find(open_->close);
  const size_t said = close != held_.npos ? close : held_.size() - unfinished_end(held_, open_->close);
  const size_t last = said == 0 ? held_.npos : held_.find_last_not_of(kWhiteSpace, said - 1);
  const size_t end = last == held_.npos ? 0 : last + 1;
  parts.reasoning += held_.substr(0, end);
  has_reasoned_ = has_reasoned_ || end > 0;
  held_.erase(0, close != held_.npos ? close + open_->close.size() : end);
  if (close == held_.npos) return;
  at_ = At::kStart;
  follows_marker_ = true;
}

void ReasoningSplitter::take_answer(Parts& parts) {
  drop_white_space();
  parts.answer += std::exchange(held_, "");
}

ReasoningSplitter::Parts ReasoningSplitter::finish() {
  drop_white_space();
  if (at_ != At::kReasoning) return {"", std::exchange(held_, "")};
  held_.erase(held_.find_last_not_of(kWhiteSpace) + 1);
  return {std::exchange(held_, ""), ""};
}

}  // namespace reform
