#include "runtime/compress/policies/policy.h"

#include <fmt/format.h>

namespace reform {

MakePolicy make_h2o, make_recent, make_tova, make_zsmerge, make_cascade;  // each is defined in the file of its name

namespace {

constexpr Policy kPolicies[] = {
    {"h2o", "sinks, recent tokens and those that received most attention (the paper's)", make_h2o},
    {"recent", "sinks and a window of recent tokens (StreamingLLM)", make_recent},
    {"tova", "the tokens that a chunk's last token attends to most (TOVA)", make_tova, /*keeps_sinks=*/false,
     /*cpu_only=*/true},
    {"zsmerge", "recent and most attended tokens; the others are merged into a few slots (ZSMerge)", make_zsmerge,
     /*keeps_sinks=*/false, /*cpu_only=*/true},
    {"cascade", "sinks, and ever sparser tokens of an ever older past (Cascading KV Cache)", make_cascade,
     /*keeps_sinks=*/true, /*cpu_only=*/true},
    {"none", "independent chunks after a short overlap; nothing is carried", nullptr,
     /*keeps_sinks=*/false},
};

}  // namespace

std::span<const Policy> policies() { return kPolicies; }

const Policy* find_policy(const std::string& name) {
  for (const Policy& p : kPolicies) {
    if (name == p.name) return &p;
  }
  return nullptr;
}

Status check_policy(const Policy& policy, const Device& device) {
  if (!policy.cpu_only || device.has_every_op()) return {};
  return {Code::kUnavailable,
          fmt::format("the policy {} runs on the CPU only, and the model is on {}; use --device cpu", policy.name,
                      device.name())};
}

std::string policy_names() {
  std::string names;
  for (const Policy& p : kPolicies) names += (names.empty() ? "" : ", ") + std::string(p.name);
  return names;
}

}  // namespace reform
