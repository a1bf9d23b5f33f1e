// The methods of answering: one list, from which --help, the checks of options and the tests take them. Each is a file
// here, whose name it has.
#pragma once

#include <reform/status.h>

#include <span>
#include <string>
#include <vector>

#include "runtime/jobs/ask_method.h"

namespace reform {

AskMethod reform_method(), first_method(), last_method(), random_method(), full_method(), oprm_method(),
    oprm_random_method(), carry_method(), pages_method(), pages_recompute_method();

const std::vector<AskMethod>& methods();  // the first is the default
// kUsage: there is none of this name, or none for search. The message has the names.
Result<AskMethod> method_named(const std::string& name);
Result<AskMethod> method_for_search(const std::string& name);

// An option as the command spells it, and whether it was given a value other than its default.
struct GivenOption {
  const char* flag;
  bool given;
};
// kUsage: an option was given that the method does not heed. The message names it, and the methods that do.
Status check_heeded(const std::string& method, std::span<const GivenOption> options);

}  // namespace reform
