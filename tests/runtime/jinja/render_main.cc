// jinja_render: renders templates for scripts/compare_chat_templates.py. Reads a line of JSON {"source", "context",
// "now"} at a time, and writes {"output"} or {"error"} for each. Contexts are contents, so none of them can become
// special tokens.
#include <cstdio>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/jinja/globals.h"
#include "runtime/jinja/json_value.h"
#include "runtime/jinja/template.h"

namespace reform::jinja {
namespace {

Result<Text> render(const nlohmann::ordered_json& line) {
  auto parsed = Template::parse(line.at("source").get<std::string>());
  if (!parsed.ok()) return parsed.status();
  auto context = value_of_json(line.at("context").dump(), 0);
  if (!context.ok()) return context.status();
  Variables variables;
  for (const auto& [key, value] : context.value().dict()->items) variables.emplace_back(key.bytes(), value);
  std::tm now{};
  if (line.contains("now") && line["now"].is_string())
    strptime(line["now"].get<std::string>().c_str(), "%Y-%m-%dT%H:%M:%S", &now);
  variables.emplace_back("strftime_now", strftime_now(now));
  return parsed.value().render(variables);
}

}  // namespace
}  // namespace reform::jinja

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = reform::jinja::render(nlohmann::ordered_json::parse(line));
    nlohmann::json result;
    if (text.ok())
      result["output"] = text.value().bytes();
    else
      result["error"] = text.status().message;
    std::cout << result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
  }
}
