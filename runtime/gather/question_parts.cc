#include "runtime/gather/question_parts.h"

#include <algorithm>
#include <numeric>

#include "runtime/gather/sentences.h"

namespace reform {
namespace {

constexpr double kLeastShare = 0.25;      // of the heaviest part's weight: what has less is no part of its own
constexpr double kOtherPartsShare = 0.1;  // of a token's weight where another part is looked for: "When did she die?"

// Where the sentences that ask end; the last end is the question's.
std::vector<size_t> question_ends(const TokenTable& table, std::span<const int32_t> ids) {
  std::vector<size_t> ends;
  SentenceFinder finder(table);
  for (size_t t = 0; t < ids.size(); ++t) {
    if (finder.before(ids[t]).sentence && table.has_question_mark(ids[t - 1])) ends.push_back(t);
  }
  // What comes after the last question mark asks nothing, and belongs to what was asked before it.
  const bool asks = std::any_of(ids.begin() + ptrdiff_t(ends.empty() ? 0 : ends.back()), ids.end(),
                                [&](int32_t id) { return table.has_question_mark(id); });
  if (!ends.empty() && !asks) ends.pop_back();
  ends.push_back(ids.size());
  return ends;
}

// Joins what is too light to its neighbour, the one before if there is one.
void join_light_parts(std::vector<size_t>& ends, std::span<const double> weights) {
  const auto weight = [&](size_t part) {
    const size_t begin = part == 0 ? 0 : ends[part - 1];
    return std::accumulate(weights.begin() + ptrdiff_t(begin), weights.begin() + ptrdiff_t(ends[part]), 0.0);
  };
  double heaviest = 0;
  for (size_t part = 0; part < ends.size(); ++part) heaviest = std::max(heaviest, weight(part));
  for (size_t part = 0; part < ends.size() && ends.size() > 1;) {
    if (weight(part) >= kLeastShare * heaviest) {
      ++part;
    } else {
      ends.erase(ends.begin() + ptrdiff_t(part == 0 ? 0 : part - 1));
    }
  }
}

}  // namespace

std::vector<std::vector<double>> question_parts(const TokenTable& table, std::span<const int32_t> ids,
                                                std::span<const double> weights) {
  std::vector<size_t> ends = question_ends(table, ids);
  if (ends.size() > kMostQuestionParts) ends = {ids.size()};
  join_light_parts(ends, weights);
  std::vector<std::vector<double>> parts;
  size_t begin = 0;
  for (const size_t end : ends) {
    std::vector<double>& part = parts.emplace_back(weights.begin(), weights.end());
    for (size_t t = 0; t < part.size(); ++t) {
      if (t < begin || t >= end) part[t] *= kOtherPartsShare;
    }
    begin = end;
  }
  return parts;
}

}  // namespace reform
