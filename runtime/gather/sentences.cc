#include "runtime/gather/sentences.h"

namespace reform {

// In wrapped text most lines end within a sentence. Then the next mostly begins with a small letter; a capital or an
// indent tells nothing by itself.
bool SentenceFinder::is_wrapped(int32_t next) const {
  if (blank_line_ || stop_ || wide_stop_) return false;
  if (table_.begins_small(next)) return true;
  return (table_.begins_capital(next) || table_.begins_with_space(next)) && !table_.has_newline(next) &&
         width_.is_wrapped(last_line_chars_);
}

void SentenceFinder::count_chars(int32_t id) {
  if (!table_.has_newline(id)) {
    line_chars_ += table_.n_chars(id);
    return;
  }
  if (line_chars_ > 0) width_.add_line(line_chars_);
  last_line_chars_ = line_chars_;
  line_chars_ = 0;
}

SentenceFinder::Place SentenceFinder::before(int32_t next) {
  Place place{.newline = newline_, .blank_line = blank_line_};
  place.line = newline_ && !is_wrapped(next);
  place.sentence = place.line || wide_stop_ || (stop_ && (newline_ || table_.begins_with_space(next)));
  const bool was_newline = newline_;
  newline_ = table_.has_newline(next);
  blank_line_ = table_.has_blank_line(next) || (was_newline && newline_ && table_.is_blank(next));
  stop_ = table_.has_stop(next), wide_stop_ = table_.has_wide_stop(next);
  count_chars(next);
  return place;
}

std::vector<int32_t> sentence_ends(const TokenTable& table, std::span<const int32_t> ids, int64_t min_tokens) {
  SentenceFinder finder(table);
  std::vector<int32_t> ends;
  int64_t begin = 0;
  for (int64_t t = 0; t < int64_t(ids.size()); ++t) {
    if (finder.before(ids[size_t(t)]).sentence && t - begin >= min_tokens) ends.push_back(int32_t(t)), begin = t;
  }
  if (!ids.empty()) ends.push_back(int32_t(ids.size()));
  return ends;
}

}  // namespace reform
