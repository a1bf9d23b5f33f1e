// How messages become a prompt: the model's chat template, and what it may be told.
#pragma once

#include <reform/export.h>
#include <reform/status.h>

#include <string>

namespace reform {

struct ChatOptions {
  std::string variables;  // for the template: a JSON object, such as {"enable_thinking": false}; "": none
  // What a template that writes a date takes for now: "2026-03-07" or "2026-03-07T09:05"; "": now.
  std::string date;

  REFORM_API Status validate() const;
};

}  // namespace reform
