#include "runtime/text/offset_map.h"

#include <algorithm>

namespace reform {

void OffsetMap::add(int32_t n_text, int32_t n_raw, int64_t count) {
  if (!runs_.empty() && runs_.back().n_text == n_text && runs_.back().n_raw == n_raw) {
    runs_.back().count += count;
  } else {
    runs_.push_back({n_text, n_raw, count});
  }
}

int64_t OffsetMap::take(int64_t n_text) {
  int64_t n_raw = 0;
  within_ += n_text;
  while (within_ > 0 && !runs_.empty()) {
    TextRun& run = runs_.front();
    const int64_t n = run.n_text == 0 ? run.count : std::min(run.count, within_ / run.n_text);
    if (n == 0) break;
    n_raw += n * run.n_raw;
    within_ -= n * run.n_text;
    run.count -= n;
    if (run.count == 0) runs_.pop_front();
  }
  return n_raw;
}

}  // namespace reform
