#include "runtime/gather/passage_cutter.h"

namespace reform {

std::vector<int64_t> PassageCutter::add(std::span<const int32_t> ids) {
  std::vector<int64_t> ends;
  for (const int32_t id : ids) {
    const SentenceFinder::Place place = finder_.before(id);
    if (place.newline) line_end_ = n_tokens_;
    if (place.sentence) sentence_end_ = n_tokens_;
    const int64_t length = n_tokens_ - begin_;
    int64_t end = begin_;
    if (place.line && length >= (place.blank_line ? kMinTokens / 2 : kMinTokens)) end = n_tokens_;
    if (end == begin_ && length >= kMaxTokens) {
      end = n_tokens_;
      for (const int64_t last : {line_end_, sentence_end_}) {
        if (last - begin_ >= kMinTokens / 2) end = last;
      }
    }
    if (end > begin_) ends.push_back(end), begin_ = end;
    ++n_tokens_;
  }
  return ends;
}

}  // namespace reform
