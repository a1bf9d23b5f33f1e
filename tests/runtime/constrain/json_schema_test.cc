// Texts that a schema allows and texts that it does not, byte by byte as a model would say them.
#include "runtime/constrain/json_schema.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "runtime/constrain/matcher.h"
#include "tests/support/take.h"

namespace reform::test {
namespace {

using Json = nlohmann::ordered_json;

// "whole": it is a whole answer; "part": more has to come; "no": byte N is refused.
std::string verdict(const std::string& schema, const std::string& text) {
  Matcher matcher(take(grammar_of_schema(schema)));
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string byte = text.substr(i, 1);
    if (!matcher.allows(byte)) return "no " + std::to_string(i);
    matcher.push(byte);
  }
  return matcher.may_end() ? "whole" : "part";
}

Status problem(const std::string& schema) { return grammar_of_schema(schema).status(); }

TEST_CASE("JSON of any shape is followed as the standard has it", "[runtime][constrain]") {
  const auto any = [](const std::string& text) { return verdict("{}", text); };
  for (const char* whole :
       {"0", "-12.5e+10", "true", "null", "[]", "{}", "[1, 2]", "[[[]], {}]", R"({"a": {"b": [1]}, "c": "d"})",
        R"("é 😀 \n \u00e9 \" \\")", "{\n  \"a\": 1\n}", R"("a/b")"}) {
    CAPTURE(whole);
    CHECK(any(whole) == "whole");
    CHECK_FALSE(Json::parse(whole).is_discarded());
  }
  for (const char* part : {"", "-", "[", "[1", "{\"a\"", "\"\\", "\"\\u00", "1.", "1e", "tru", "\"\xf0\x9f"}) {
    CAPTURE(part);
    CHECK(any(part) == "part");
  }
  CHECK(any("01") == "no 1");
  CHECK(any("+1") == "no 0");
  CHECK(any("[1,]") == "no 3");
  CHECK(any("{a") == "no 1");
  CHECK(any("\"\n") == "no 1");
  CHECK(any("\"\\x") == "no 2");
  CHECK(any("\"\\ud83d") == "no 4");       // half of a pair
  CHECK(any("\"\xc0\x80") == "no 1");      // too long a form
  CHECK(any("\"\xed\xa0\x80") == "no 2");  // a surrogate
  CHECK(any("{}x") == "no 2");
  CHECK(any("{} ") == "no 2");
  CHECK(any("[\n\n") == "no 2");
  CHECK(any("'a'") == "no 0");
  CHECK(any("[\n \t") == "no 3");
  CHECK(any("[\n\t\t1\n]") == "whole");
  CHECK(any("{\"a\":\n") == "no 5");
}

TEST_CASE("an object has its properties in order, and those that are required", "[runtime][constrain]") {
  const std::string schema =
      R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"},
      "tags": {"type": "array", "items": {"enum": ["a", "b"]}}}, "required": ["name", "tags"]})";
  CHECK(verdict(schema, R"({"name": "x", "age": 3, "tags": ["a", "b"]})") == "whole");
  CHECK(verdict(schema, R"({"name":"x","tags":[]})") == "whole");
  CHECK(verdict(schema, R"({"name": "x"})") == "no 12");
  CHECK(verdict(schema, R"({"tags")") == "no 2");
  CHECK(verdict(schema, R"({"name": 1)") == "no 9");
  CHECK(verdict(schema, R"({"name": "x", "age": 1.5)") == "no 22");
  CHECK(verdict(schema, R"({"name": "x", "tags": ["c")") == "no 24");
  CHECK(verdict(schema, R"({"name": "x", "tags": [], "more": 1})") == "no 24");
  CHECK(verdict(schema, "[") == "no 0");
  const std::string optional = R"({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}})";
  for (const char* whole : {"{}", R"({"a": null})", R"({"b": null})", R"({"a": null, "b": null})"})
    CHECK(verdict(optional, whole) == "whole");
  CHECK(verdict(optional, R"({"b": null, "a")") == "no 10");
  CHECK(verdict(optional, R"({, )") == "no 1");
  CHECK(verdict(R"({"type": "object", "additionalProperties": {"type": "integer"}})", R"({"x": 1, "y": 2})") ==
        "whole");
  CHECK(verdict(R"({"type": "object", "additionalProperties": {"type": "integer"}})", R"({"x": "1)") == "no 6");
  CHECK(verdict(R"({"type": "object", "properties": {}, "additionalProperties": false})", R"({"x)") == "no 1");
  CHECK(verdict(R"({"type": "object"})", R"({"x": [1, {}]})") == "whole");
  CHECK(verdict(R"({"properties": {"é": {"const": 1}}, "required": ["é"]})", R"({"é": 1})") == "whole");
}

TEST_CASE("lengths, choices and references hold", "[runtime][constrain]") {
  const std::string pair = R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3})";
  CHECK(verdict(pair, "[1]") == "no 2");
  CHECK(verdict(pair, "[1, 2]") == "whole");
  CHECK(verdict(pair, "[1, 2, 3]") == "whole");
  CHECK(verdict(pair, "[1, 2, 3,") == "no 8");
  CHECK(verdict(R"({"type": "array", "maxItems": 0, "items": {}})", "[]") == "whole");
  CHECK(verdict(R"({"type": "array", "maxItems": 0, "items": {}})", "[1") == "no 1");
  CHECK(verdict(R"({"type": "array", "items": {"type": "array", "minItems": 1}})", "[[]") == "no 2");
  const std::string word = R"({"type": "string", "minLength": 2, "maxLength": 3})";
  CHECK(verdict(word, "\"a\"") == "no 2");
  CHECK(verdict(word, "\"é😀\"") == "whole");
  CHECK(verdict(word, "\"abcd") == "no 4");
  const std::string either =
      R"({"anyOf": [{"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
      {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "null"}}, "required": ["a", "b"]}]})";
  CHECK(verdict(either, R"({"a": true})") == "whole");
  CHECK(verdict(either, R"({"a": "x", "b": null})") == "whole");
  CHECK(verdict(either, R"({"a": true, )") == "no 10");
  CHECK(verdict(R"({"type": ["string", "null"]})", "null") == "whole");
  CHECK(verdict(R"({"const": {"a": [1, "b"]}})", R"({"a":[1,"b"]})") == "whole");
  CHECK(verdict(R"({"type": "string", "enum": ["a", 1]})", "1") == "no 0");
  const std::string tree = R"({"$defs": {"node": {"type": "object", "properties": {"value": {"type": "integer"},
      "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}, "required": ["value"]}}, "$ref": "#/$defs/node"})";
  CHECK(verdict(tree, R"({"value": 1, "children": [{"value": 2, "children": []}, {"value": 3}]})") == "whole");
  CHECK(verdict(tree, R"({"value": 1, "children": [{"v)") == "part");
  CHECK(verdict(tree, R"({"value": 1, "children": [{"x)") == "no 28");
  CHECK(verdict(R"({"type": "object", "properties": {"next": {"$ref": "#"}}})", R"({"next": {"next": {}}})") ==
        "whole");
}

TEST_CASE("what a schema says and we do not know is refused by name and place", "[runtime][constrain]") {
  const auto says = [](const std::string& schema, const std::string& words) {
    const Status status = problem(schema);
    CAPTURE(schema, status.message);
    return status.code == Code::kUsage && status.message.find(words) != std::string::npos;
  };
  CHECK(says("{", "no JSON"));
  CHECK(says("1", "expected an object"));
  CHECK(says("false", "expected an object"));
  CHECK(says(R"({"type": "string", "pattern": "a+"})", "'pattern' is not supported"));
  CHECK(says(R"({"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}})",
             "at /properties/a: 'minimum'"));
  CHECK(says(R"({"oneOf": [{"type": "null"}]})", "'oneOf'"));
  CHECK(says(R"({"type": "date"})", "type: expected"));
  CHECK(says(R"({"$ref": "http://example.com/s"})", "within the schema only"));
  CHECK(says(R"({"$ref": "#/$defs/none"})", "leads nowhere"));
  CHECK(says(R"({"$ref": "#"})", "has an end"));
  CHECK(says(R"({"type": "object", "properties": {"a": {}}, "required": ["b"]})", "'b' is none of the properties"));
  CHECK(says(R"({"type": "array", "minItems": 3, "maxItems": 2})", "maxItems is below minItems"));
  CHECK(says(R"({"type": "array", "minItems": 100000000})", "minItems: expected a number"));
  CHECK(says(R"({"type": "string", "enum": [1]})", "none of the values"));
  CHECK(says(R"({"enum": [{"a": [12345678901234567890123]}]})", "too many digits"));
  CHECK(says(R"({"type": "string", "minLength": 5, "maxLength": 2})", "maxLength is below"));
  CHECK(says(R"({"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"]})", "has an end"));
  CHECK(says(R"({"type": "array", "items": {"$ref": "#"}, "minItems": 1})", "has an end"));
  CHECK(problem(R"({"type": "array", "items": {"$ref": "#"}})").ok());
  CHECK(problem(R"({"enum": [9007199254740991, -1.5e300]})").code == Code::kUsage);
  CHECK(verdict(R"({"enum": [9007199254740991, 1.5, -7]})", "9007199254740991") == "whole");
  CHECK(verdict(R"({"$defs": {"a/b~c %": {"type": "null"}}, "$ref": "#/$defs/a~1b~0c%20%25"})", "null") == "whole");
  CHECK(says(R"({"enum": []})", "expected a list"));
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += R"({"type": "array", "items": )";
  CHECK(says(deep + "{}" + std::string(200, '}'), "nested deeper"));
  std::string wide = R"({"anyOf": [)";
  for (int i = 0; i < 200; ++i) wide += R"({"type": "array", "items": {}, "maxItems": 1000},)";
  wide.back() = ']';
  CHECK(says(wide + "}", "too large"));
  CHECK(says(std::string(300 << 10, ' ') + "{}", "over"));
  CHECK(problem(R"({"title": "T", "description": "d", "default": 1, "$schema": "x", "type": "integer"})").ok());
}

// n levels of schemas, each of which may be any of m references to the next.
std::string ladder(int n, int m) {
  std::string text = R"({"$ref": "#/$defs/n0", "$defs": {)";
  for (int i = 0; i < n; ++i) {
    text += "\"n" + std::to_string(i) + R"(": {"anyOf": [)";
    for (int j = 0; j < m; ++j) text += R"({"$ref": "#/$defs/n)" + std::to_string(i + 1) + (j + 1 < m ? "\"}," : "\"}");
    text += "]}, ";
  }
  return text + "\"n" + std::to_string(n) + R"(": {"type": "integer"}}})";
}

TEST_CASE("choices that mean the same, and choices at each level, do not multiply", "[runtime][constrain]") {
  CHECK(verdict(ladder(20, 2), "-12") == "whole");
  CHECK(verdict(ladder(25, 50), "7") == "whole");
  std::string kinds, leaf = R"({"type": "object", "properties": {"kind": {"const": "leaf"}}, "required": ["kind"]})";
  for (int i = 0; i < 16; ++i)
    kinds += R"({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        "kind": {"const": "k)" +
             std::to_string(i) + R"("}}, "required": ["children", "kind"]}, )";
  std::string text = R"({"kind": "leaf"})";
  for (int i = 0; i < 40; ++i) text = R"({"children": [)" + text + R"(], "kind": "k)" + std::to_string(i % 16) + "\"}";
  CHECK(verdict(R"({"anyOf": [)" + kinds + leaf + "]}", text) == "whole");
  std::string arrays;
  for (int i = 0; i < 200; ++i) arrays += R"({"type": "array", "items": {"$ref": "#"}}, )";
  CHECK(verdict(R"({"anyOf": [)" + arrays + R"({"type": "null"}]})", "[[[[null, null], []], [[[[[[]]]]]]]]") ==
        "whole");
  CHECK(
      verdict(
          R"({"$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/b"}]}, "b": {"anyOf": [{"$ref": "#/$defs/a"},
      {"type": "boolean"}]}}, "$ref": "#/$defs/a"})",
          "true") == "whole");
}

TEST_CASE("a long text takes time in proportion", "[runtime][constrain]") {
  const std::string word(20'000, 'x');
  CHECK(verdict(R"({"type": "array", "items": {"type": "string"}})", "[\"" + word + "\"]") == "whole");
  std::string list = "[1";
  for (int i = 0; i < 5000; ++i) list += ", 1";
  CHECK(verdict("{}", list + "]") == "whole");
}

// Whatever is said at random among what is allowed, the answer is JSON once it may end.
TEST_CASE("an answer at random is JSON that fits", "[runtime][constrain]") {
  const std::string schema =
      R"({"type": "object", "properties": {"a": {"type": ["number", "null"]}, "b": {"type": "string",
      "maxLength": 4}, "c": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}}, "required": ["a", "c"]})";
  std::mt19937 random(1);
  int n_whole = 0;
  for (int round = 0; round < 200; ++round) {
    Matcher matcher(take(grammar_of_schema(schema)));
    std::string text;
    while (!matcher.must_end() && text.size() < 400) {
      std::vector<char> allowed;
      for (int b = 0; b < 256; ++b) {
        const char byte = char(b);
        if (matcher.allows({&byte, 1})) allowed.push_back(byte);
      }
      REQUIRE_FALSE(allowed.empty());
      text += allowed[random() % allowed.size()];
      matcher.push(text.substr(text.size() - 1));
    }
    if (!matcher.must_end()) continue;
    ++n_whole;
    CAPTURE(text);
    const Json json = Json::parse(text, nullptr, false);
    REQUIRE(json.is_object());
    CHECK((json["a"].is_number() || json["a"].is_null()));
    CHECK(json["c"].is_array());
    CHECK(json["c"].size() <= 3);
    CHECK((!json.contains("b") || json["b"].is_string()));
  }
  CHECK(n_whole > 150);
}

}  // namespace
}  // namespace reform::test
