#include "tools/empty_values.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

namespace reform::tool {
namespace {

// A system text, a prompt, and a question, which says so itself. What has a range or a list of values names that.
bool may_be_empty(const CLI::Option& option) {
  constexpr std::string_view kTexts[] = {"PROMPT", "NAME... QUESTION", "--system"};
  constexpr std::string_view kRanges[] = {"N", "S", "M", "T", "K", "P", "BYTES", "WHAT"};
  const auto has = [](const auto& names, const std::string& name) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (option.get_type_size() == 0) return true;  // a flag
  return has(kTexts, option.get_name()) || (!option.get_positional() && has(kRanges, option.get_type_name()));
}

}  // namespace

void refuse_empty_values(CLI::App& app) {
  const auto refuse_if_empty = [](const char* what) {
    return [what](const std::string& value) {
      return value.empty() ? std::string(what) + "must not be empty" : std::string();
    };
  };
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) {
    for (CLI::Option* option : verb->get_options()) {
      if (may_be_empty(*option)) continue;
      const bool is_context = option->get_name() == "NAME";
      option->check(refuse_if_empty(is_context ? "a context's name " : ""), "", "not empty");
    }
  }
}

}  // namespace reform::tool
