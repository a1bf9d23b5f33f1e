#include "runtime/jobs/kept_settings.h"

#include <fmt/format.h>

#include <vector>

namespace reform {

std::string kept_settings(const IngestOptions& asked, const HeadSet* heads, const ContextSettings& kept) {
  std::vector<std::string> others;
  const auto compare = [&](const char* option, const auto& wanted, const auto& there) {
    if (asked.chosen.contains(option) && wanted != there)
      others.push_back(fmt::format("{} {}, not {}", option, there, wanted));
  };
  compare("policy", asked.policy, kept.policy);
  compare("chunk_tokens", asked.chunk_tokens, kept.chunk_tokens);
  compare("cache_tokens", asked.cache_tokens, kept.cache_tokens);
  compare("sink_tokens", asked.sink_tokens, kept.sink_tokens);
  compare("overlap_tokens", asked.overlap_tokens, kept.overlap_tokens);
  compare("full_depth", asked.full_depth, kept.full_depth);
  compare("pages", asked.pages, kept.pages);
  if (heads != nullptr && heads->heads != kept.heads) {
    const std::string depth = asked.depth.empty() ? "" : fmt::format(" of depth {}", asked.depth);
    others.push_back(fmt::format("heads {}, not {}{}", to_string(kept.heads), to_string(heads->heads), depth));
  }
  if (heads != nullptr && heads->heads == kept.heads && heads->maps != kept.maps)
    others.push_back("the maps that weigh its heads, not those given");
  return fmt::format("{}", fmt::join(others, "; "));
}

}  // namespace reform
