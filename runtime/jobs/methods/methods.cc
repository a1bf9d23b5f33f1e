#include "runtime/jobs/methods/methods.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

#include "base/try.h"

namespace reform {
namespace {

std::vector<std::string> names_of(const std::function<bool(const MethodTraits&)>& wanted) {
  std::vector<std::string> names;
  for (const AskMethod& method : methods()) {
    if (wanted(method.traits)) names.push_back(method.traits.name);
  }
  return names;
}

bool heeds(const MethodTraits& traits, const std::string& flag) {
  return std::ranges::find(traits.options, flag) != traits.options.end();
}

}  // namespace

const std::vector<AskMethod>& methods() {
  static const std::vector<AskMethod> all = {
      reform_method(), first_method(),       last_method(),  random_method(), full_method(),
      oprm_method(),   oprm_random_method(), carry_method(), pages_method(),  pages_recompute_method()};
  return all;
}

std::vector<MethodInfo> list_methods() {
  std::vector<MethodInfo> all;
  for (const auto& [query, select, answer, traits] : methods())
    all.push_back({traits.name, traits.summary, traits.options, traits.searches});
  return all;
}

Result<AskMethod> method_named(const std::string& name) {
  for (const AskMethod& method : methods()) {
    if (method.traits.name == name) return method;
  }
  return Status{Code::kUsage, fmt::format("unknown method '{}'; expected one of {}", name,
                                          fmt::join(names_of([](const MethodTraits&) { return true; }), ", "))};
}

Result<AskMethod> method_for_search(const std::string& name) {
  TRY_ASSIGN(AskMethod method, method_named(name));
  if (method.traits.searches) return method;
  return Status{Code::kUsage, fmt::format("search does not take the method {}; expected one of {}", name,
                                          fmt::join(names_of([](const MethodTraits& t) { return t.searches; }), ", "))};
}

Status check_heeded(const std::string& method, std::span<const GivenOption> options) {
  TRY_ASSIGN(const AskMethod found, method_named(method));
  for (const GivenOption& option : options) {
    const std::string flag = option.flag;
    if (!option.given || heeds(found.traits, flag)) continue;
    const auto heeding = names_of([&](const MethodTraits& traits) { return heeds(traits, flag); });
    return {Code::kUsage,
            fmt::format("the method {} has no use for {}, an option of {}", method, flag, fmt::join(heeding, ", "))};
  }
  return {};
}

}  // namespace reform
