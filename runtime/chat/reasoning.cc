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

const ReasoningMarkers* find_reasoning_markers(std::string_view template_source) {
  const auto* const found =
      std::find_if(std::begin(kMarkers), std::end(kMarkers), [&](const ReasoningMarkers& markers) {
        return template_source.find(markers.open) != template_source.npos ||
               template_source.find(markers.close) != template_source.npos;
      });
  return found == std::end(kMarkers) ? nullptr : found;
}

ReasoningState reasoning_at_end(const jinja::Text& prompt, const ReasoningMarkers& markers) {
  const std::string_view tail = tail_of(prompt);
  const size_t open = tail.rfind(markers.open), close = tail.rfind(markers.close);
  if (open != tail.npos && (close == tail.npos || close < open)) return ReasoningState::kOpen;
  return close == tail.npos ? ReasoningState::kNone : ReasoningState::kClosed;
}

std::string closing_text(const ReasoningMarkers& markers) { return "\n" + std::string(markers.close) + "\n\n"; }

void set_reasoning(Think think, bool has_switch, const ReasoningMarkers& markers, jinja::Text& prompt) {
  const ReasoningState state = reasoning_at_end(prompt, markers);
  if (think == Think::kAuto || state == ReasoningState::kClosed) return;
  if (state == ReasoningState::kNone && has_switch) return;
  if (state == ReasoningState::kNone) prompt.append(std::string(markers.open) + "\n");
  if (think == Think::kOff) prompt.append(closing_text(markers));
}

ReasoningSplitter::ReasoningSplitter(const ReasoningMarkers* markers, bool is_open)
    : markers_(markers),
      at_(markers == nullptr ? At::kAnswer
          : is_open          ? At::kReasoning
                             : At::kStart) {
  if (at_ == At::kAnswer) begins_part_ = false;
}

bool ReasoningSplitter::may_open() const {
  return at_ == At::kStart && held_.find_first_not_of(kWhiteSpace) != held_.npos;
}

ReasoningSplitter::Parts ReasoningSplitter::push(std::string_view bytes) {
  held_ += bytes;
  return advance();
}

ReasoningSplitter::Parts ReasoningSplitter::push_special(std::string_view token) {
  if (at_ == At::kAnswer || (token != markers_->open && token != markers_->close)) return {};
  return push(token);
}

ReasoningSplitter::Parts ReasoningSplitter::settle() {
  if (at_ != At::kStart) return {};
  at_ = At::kAnswer;
  begins_part_ = false;
  return advance();
}

void ReasoningSplitter::drop_unfinished() {
  if (at_ == At::kReasoning) held_.erase(held_.size() - unfinished_end(held_, markers_->close));
}

ReasoningSplitter::Parts ReasoningSplitter::advance() {
  Parts parts;
  if (at_ == At::kStart) take_start();
  if (at_ == At::kReasoning) take_reasoning(parts);
  if (at_ == At::kAnswer) take_answer(parts);
  return parts;
}

// A marker at the beginning of what is held, behind white space.
bool ReasoningSplitter::take_marker(std::string_view marker) {
  const size_t begin = held_.find_first_not_of(kWhiteSpace);
  if (begin == held_.npos || !std::string_view(held_).substr(begin).starts_with(marker)) return false;
  held_.erase(0, begin + marker.size());
  begins_part_ = true;
  return true;
}

bool ReasoningSplitter::may_become(std::string_view marker) const {
  const size_t begin = held_.find_first_not_of(kWhiteSpace);
  return begin == held_.npos || marker.starts_with(std::string_view(held_).substr(begin));
}

void ReasoningSplitter::drop_white_space() {
  if (!begins_part_) return;
  held_.erase(0, std::min(held_.find_first_not_of(kWhiteSpace), held_.size()));
  begins_part_ = held_.empty();
}

void ReasoningSplitter::take_start() {
  if (take_marker(markers_->open)) {
    at_ = At::kReasoning;
  } else if (take_marker(markers_->close)) {  // the reasoning that it does not want to begin
    at_ = At::kAnswer;
  } else if (!may_become(markers_->open) && !may_become(markers_->close)) {
    at_ = At::kAnswer;
    begins_part_ = false;
  }
}

void ReasoningSplitter::take_reasoning(Parts& parts) {
  if (begins_part_) {
    take_marker(markers_->open);  // the template had opened it already
    if (may_become(markers_->open)) return;
  }
  drop_white_space();
  const size_t close = held_.find(markers_->close);
  const size_t said = close != held_.npos ? close : held_.size() - unfinished_end(held_, markers_->close);
  const size_t last = said == 0 ? held_.npos : held_.find_last_not_of(kWhiteSpace, said - 1);
  const size_t end = last == held_.npos ? 0 : last + 1;
  parts.reasoning = held_.substr(0, end);
  held_.erase(0, close != held_.npos ? close + markers_->close.size() : end);
  if (close == held_.npos) return;
  at_ = At::kAnswer;
  begins_part_ = true;
}

void ReasoningSplitter::take_answer(Parts& parts) {
  drop_white_space();
  parts.answer = std::exchange(held_, "");
}

ReasoningSplitter::Parts ReasoningSplitter::finish() {
  if (at_ != At::kReasoning) return {"", std::exchange(held_, "")};
  drop_white_space();
  held_.erase(held_.find_last_not_of(kWhiteSpace) + 1);
  return {std::exchange(held_, ""), ""};
}

}  // namespace reform
