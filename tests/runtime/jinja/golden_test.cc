// What jinja2 makes of the same templates, with the settings of transformers (scripts/make_jinja_golden.py).
#include <catch2/catch.hpp>
#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/jinja/globals.h"
#include "runtime/jinja/json_value.h"
#include "runtime/jinja/template.h"
#include "tests/support/files.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::jinja;
using namespace reform::test;

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kNow = "2026-03-07T09:05:00";  // scripts/jinja_reference.py

std::string read_golden(const std::string& name) { return read_file(golden_path("jinja/" + name)); }

std::tm time_of(const std::string& iso) {
  std::tm time{};
  REQUIRE(strptime(iso.c_str(), "%Y-%m-%dT%H:%M:%S", &time) != nullptr);
  return time;
}

Result<Text> render(const std::string& source, const Json& context, const std::string& now) {
  auto parsed = Template::parse(source);
  if (!parsed.ok()) return parsed.status();
  Variables variables;
  const Value values = take(value_of_json(context.dump(), 0));
  for (const auto& [key, value] : values.dict()->items) variables.emplace_back(key.bytes(), value);
  variables.emplace_back("strftime_now", strftime_now(time_of(now)));
  return parsed.value().render(variables);
}

void check_case(const Json& wanted, const std::string& source, const Json& context, const std::string& now) {
  const auto text = render(source, context, now);
  if (wanted.contains("error")) {
    CHECK_FALSE(text.ok());
    if (wanted["error"].is_string() && !text.ok()) CHECK(text.status().message == wanted["error"].get<std::string>());
    return;
  }
  const std::string output = text.ok() ? text.value().bytes() : "error: " + text.status().message;
  CHECK(output == wanted["output"].get<std::string>());
}

}  // namespace

TEST_CASE("jinja: each part of the language gives what jinja2 gives", "[runtime][jinja]") {
  const Json cases = Json::parse(read_golden("language.json"));
  REQUIRE(cases.size() > 400);
  for (const Json& one : cases) {
    INFO(one.dump());
    check_case(one, one["source"], one["context"], one.value("now", kNow));
  }
}

TEST_CASE("jinja: templates in the form of each public family give what jinja2 gives", "[runtime][jinja]") {
  const Json conversations = Json::parse(read_golden("conversations.json")),
             cases = Json::parse(read_golden("templates.json"));
  std::map<std::string, std::string> sources;
  for (const Json& one : cases) {
    const std::string name = one["template"], conversation = one["conversation"];
    if (!sources.contains(name)) sources[name] = read_golden("templates/" + name + ".jinja");
    INFO(name << " with " << conversation);
    check_case(one, sources[name], conversations[conversation], one.value("now", kNow));
  }
  CHECK(sources.size() >= 60);
}
