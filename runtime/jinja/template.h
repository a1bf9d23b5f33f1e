// A Jinja template, as chat templates are written: parse once, render any number of times.
//
// Reference: Jinja2 with the settings of transformers' apply_chat_template (README.md). No files, no network, no clock
// of its own. A template is hostile: its steps, its depth and what it makes are limited. Thread-safety: a Template is
// immutable and may be shared.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/jinja/value.h"

namespace reform::jinja {

struct Node;
using Variables = std::vector<std::pair<std::string, Value>>;

struct Limits {
  int64_t steps = 10'000'000;         // nodes evaluated and values gone through
  int64_t bytes = int64_t(64) << 20;  // of all strings that are made, the output among them
};

class Template {
 public:
  // kUsage: it is no template, or uses what is not supported; the message names the line.
  static Result<Template> parse(std::string_view source);

  // kUsage: what the template itself raised, or that it cannot be evaluated with these variables.
  Result<Text> render(const Variables& variables, const Limits& limits = {}) const;

 private:
  explicit Template(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

}  // namespace reform::jinja
