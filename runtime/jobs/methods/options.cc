// Where the options of ask and search are checked.
#include <fmt/format.h>
#include <reform/ask.h>
#include <reform/search.h>

#include "base/try.h"
#include "runtime/engine/in_range.h"
#include "runtime/jobs/methods/methods.h"

namespace reform {
namespace {

// kUsage: `option` was given, and the chosen score is the one that does not heed it.
Status check_of_score(const std::string& chosen, const std::string& without, const GivenOption& option) {
  if (chosen != without || !option.given) return {};
  return {Code::kUsage, fmt::format("the gather score {} has no use for {}, an option of {}", chosen, option.flag,
                                    chosen == "late" ? "paper" : "late")};
}

}  // namespace

Status GatherOptions::validate() const {
  const GivenOption given[] = {{"--gather-tokens", gather_tokens != kAuto},
                               {"--edge-tokens", edge_tokens != kAuto && edge_tokens != 0},
                               {"--gather-score", !gather_score.empty()},
                               {"--rounds", rounds != kAuto},
                               {"--pool-window", pool_window != GatherOptions().pool_window}};
  TRY(check_heeded(method, given));
  TRY(in_range("gather tokens", gather_tokens == kAuto ? 0 : gather_tokens, ranges::kGatherTokens));
  TRY(in_range("edge tokens", edge_tokens == kAuto ? 0 : edge_tokens, ranges::kEdgeTokens));
  if (!gather_score.empty() && gather_score != "late" && gather_score != "paper")
    return {Code::kUsage, fmt::format("unknown gather score '{}'; expected late or paper", gather_score)};
  TRY(check_of_score(gather_score, "paper", {"--rounds", rounds != kAuto}));
  TRY(check_of_score(gather_score, "late", {"--pool-window", pool_window != GatherOptions().pool_window}));
  TRY(in_range("rounds", rounds == kAuto ? 1 : rounds, ranges::kRounds));
  TRY(in_range("pool window", pool_window, ranges::kPoolWindow));
  if (pool_window % 2 == 0)
    return {Code::kUsage, fmt::format("pool window is {}; expected an odd number", pool_window)};
  return {};
}

Status AskOptions::validate() const {
  TRY(sampling.validate());
  TRY(chat.validate());
  const GivenOption given[] = {{"--chunk-tokens", chunk_tokens != kAuto}, {"--all-chunks", all_chunks}};
  TRY(check_heeded(method, given));
  TRY(in_range("chunk tokens", chunk_tokens == kAuto ? ranges::kReadTokens.least : chunk_tokens, ranges::kReadTokens));
  return GatherOptions::validate();
}

Status SearchOptions::validate() const {
  TRY(method_for_search(method));
  const GivenOption given[] = {{"--seed", seed != 0}};
  TRY(check_heeded(method, given));
  return GatherOptions::validate();
}

}  // namespace reform
