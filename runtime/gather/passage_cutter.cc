#include "runtime/gather/passage_cutter.h"

namespace reform {

// In text with lines of a fixed width, most lines end within a sentence: the next begins with a small letter.
bool PassageCutter::look_at(int32_t next) {
  if (newline_) line_end_ = n_tokens_;
  const bool wrapped = newline_ && !blank_line_ && !stop_ && !wide_stop_ && table_.begins_small(next);
  const bool line = newline_ && !wrapped;
  if (line || wide_stop_ || (stop_ && (newline_ || table_.begins_with_space(next)))) sentence_end_ = n_tokens_;
  return line;
}

std::vector<int64_t> PassageCutter::add(std::span<const int32_t> ids) {
  std::vector<int64_t> ends;
  for (const int32_t id : ids) {
    const bool line = look_at(id);
    const int64_t length = n_tokens_ - begin_;
    int64_t end = begin_;
    if (line && length >= (blank_line_ ? kMinTokens / 2 : kMinTokens)) end = n_tokens_;
    if (end == begin_ && length >= kMaxTokens) {
      end = n_tokens_;
      for (const int64_t place : {line_end_, sentence_end_}) {
        if (place - begin_ >= kMinTokens / 2) end = place;
      }
    }
    if (end > begin_) ends.push_back(end), begin_ = end;
    const bool was_newline = newline_;
    newline_ = table_.has_newline(id);
    blank_line_ = table_.has_blank_line(id) || (was_newline && newline_ && table_.is_blank(id));
    stop_ = table_.has_stop(id), wide_stop_ = table_.has_wide_stop(id);
    ++n_tokens_;
  }
  return ends;
}

}  // namespace reform
