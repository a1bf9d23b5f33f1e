// The functions that every template finds, and the one that the caller adds.
#pragma once

#include <ctime>

#include "runtime/jinja/template.h"

namespace reform::jinja {

// range, dict, namespace, cycler, joiner, raise_exception.
Variables global_variables();

// strftime_now(format), as transformers gives it to chat templates, of the time that is given: a template has no clock.
Value strftime_now(const std::tm& now);

}  // namespace reform::jinja
