#include "runtime/gather/leads.h"

#include <algorithm>

namespace reform {

void Leads::add(const ScoredPassage& passage, size_t part, std::span<const std::byte> rows) {
  const auto same = std::find_if(leads_.begin(), leads_.end(), [&](const Lead& lead) {
    return lead.passage.context == passage.context && lead.passage.begin_token == passage.begin_token;
  });
  if (same != leads_.end()) {
    if (same->passage.score >= passage.score) return;
    leads_.erase(same);
  }
  const auto place =
      std::find_if(leads_.begin(), leads_.end(), [&](const Lead& lead) { return lead.passage.score < passage.score; });
  if (place == leads_.end() && leads_.size() == kMost) return;
  leads_.insert(place, Lead{passage, part, {rows.begin(), rows.end()}});
  if (leads_.size() > kMost) leads_.pop_back();
}

}  // namespace reform
