// How messages become a prompt: the model's chat template, and what it may be told.
#pragma once

#include <reform/export.h>
#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

// Whether a model that can do so reasons before it answers.
enum class Think : uint8_t {
  kAuto,  // as the template has it by default
  kOn,
  kOff
};

// A turn of a conversation.
struct Message {
  std::string role;  // user or assistant
  std::string content;
};

struct ChatOptions {
  std::string variables;  // for the template: a JSON object, such as {"enable_thinking": false}; "": none
  // What a template that writes a date takes for now: "2026-03-07" or "2026-03-07T09:05"; "": now.
  std::string date;
  // kOn and kOff set the template's variables enable_thinking and thinking, unless `variables` has them, and open or
  // close the reasoning in the prompt where the template then does not.
  Think think = Think::kAuto;
  static constexpr int64_t kAuto = -1;
  // Of reasoning at most; then it is closed, and the answer begins. kAuto: 1,024, or a quarter of what the answer
  // leaves of the model's window if that is less.
  int64_t think_tokens = kAuto;
  // The turns before the prompt or the question, oldest first. They stand whole in the prompt; gather does not look for
  // what they say.
  std::vector<Message> history = {};

  REFORM_API Status validate() const;
};

}  // namespace reform
