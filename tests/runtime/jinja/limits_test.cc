#include <pthread.h>

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/jinja/json_value.h"
#include "runtime/jinja/template.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::jinja;
using namespace reform::test;

namespace {

std::string failure(const std::string& source, const Limits& limits = {}) {
  const auto parsed = Template::parse(source);
  if (!parsed.ok()) return parsed.status().message;
  const auto text = parsed.value().render({}, limits);
  CHECK(text.status().code == (text.ok() ? Code::kOk : Code::kUsage));
  return text.ok() ? "rendered" : text.status().message;
}

std::string repeat(const std::string& text, int n) {
  std::string result;
  for (int i = 0; i < n; ++i) result += text;
  return result;
}

}  // namespace

TEST_CASE("jinja: a hostile template ends with an error, soon and within its memory", "[runtime][jinja]") {
  const Limits small{.steps = 100'000, .bytes = 1 << 20};
  const std::string steps = "the template takes too many steps",
                    bytes = "the template makes too much text, or too long lists";
  const std::string deep = "the template calls itself too often";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", deep},
      {"{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}", deep},
      {"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", steps},
      {"{% set n = namespace(s='x') %}{% for i in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}", bytes},
      {"{{ 'x' * 9223372036854775807 }}", bytes},
      {"{{ [0] * 9223372036854775807 }}", bytes},
      {"{{ 'x'.ljust(9223372036854775807) }}", bytes},
      {"{{ 'x'.zfill(9223372036854775807) }}", bytes},
      {"{{ 'x' | center(99999999) }}", bytes},
      {"{{ ('x' * 1000).replace('', 'y' * 10000) }}", bytes},
      {"{{ '%999999d' % 1 }}", "a format's width is too large"},
      {"{{ range(1000) | list | tojson(separators=['x' * 200000, ':']) }}",
       "tojson's indent and separators are short strings that the template itself spells"},
      {"{{ range(40) | sort(attribute='a,' * 9000) }}", "more attributes than a filter takes"},
      {"{% set n = namespace(l=[1]) %}{% for i in range(900) %}{% set n.l = [n.l.index] %}{% endfor %}",
       "lists and dictionaries nest too deep"},
      {"{% set n = namespace(l='') %}{% for i in range(900) %}{% set n.l = joiner(n.l) %}{% endfor %}",
       "lists and dictionaries nest too deep"},
      {"{{ 'abc' | truncate(9223372036854775807) }}", "rendered"},
      {"{{ 'a'.center(-9223372036854775807 - 1) }}", "rendered"},
      {"{{ 1.5 | round(-9223372036854775807) }}", "round to more than 400 digits"},
      {"{% for i in [1] %}{{ loop.changed(loop.changed) }}{% endfor %}", "rendered"},
      {"{% set n = namespace() %}{% with a=1 %}{% for x in [1] recursive %}{% set n.l = loop %}{{ a }}{% endfor %}"
       "{% endwith %}{{ n.l([2]) }}",
       "rendered"},
      {"{% set n = namespace(l=[0]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}{% endfor %}", steps},
      {"{% set n = namespace(l=[0]) %}{% for i in range(99) %}{% set n.l = [n.l] %}{% endfor %}",
       "lists and dictionaries nest too deep"},
      {"{{ range(100001) }}", "range() of more than 100000 numbers"},
      {"{{ 9223372036854775807 + 1 }}", "a number does not fit into 64 bits"},
      {"{{ 2 ** 64 }}", "a number does not fit into 64 bits"},
      {"{{ -9223372036854775807 // 0 }}", "division by zero"},
  };
  for (const auto& [source, wanted] : cases) {
    INFO(source);
    CHECK(failure(source, small) == wanted);
  }
}

TEST_CASE("jinja: a small stack is enough for any template", "[runtime][jinja]") {
  const std::vector<std::string> sources = {"{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
                                            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
                                            repeat("{% if 1 %}", 100) + "{{ " + repeat("(", 100) + "1" +
                                                repeat(")", 100) + " }}" + repeat("{% endif %}", 100)};
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, 256 << 10) == 0);
  for (std::string source : sources) {
    pthread_t thread;
    const auto run = [](void* text) -> void* {
      std::string& told = *static_cast<std::string*>(text);
      const auto parsed = Template::parse(told);
      told = (parsed.ok() ? parsed.value().render({}).status() : parsed.status()).message;
      return nullptr;
    };
    REQUIRE(pthread_create(&thread, &attributes, run, &source) == 0);
    REQUIRE(pthread_join(thread, nullptr) == 0);
    CHECK((source.ends_with("too often") || source.ends_with("too deep")));
  }
  pthread_attr_destroy(&attributes);
}

TEST_CASE("jinja: a template that nests too deep is refused before it is run", "[runtime][jinja]") {
  for (const auto& [open, middle, close] :
       {std::tuple("{{ " + repeat("(", 1000), "1", repeat(")", 1000) + " }}"),
        std::tuple("{{ " + repeat("[", 1000), "", repeat("]", 1000) + " }}"),
        std::tuple("{{ " + repeat("not ", 1000), "1", std::string(" }}")),
        std::tuple("{{ " + repeat("-", 1000), "1", std::string(" }}")),
        std::tuple("{{ " + repeat("1+", 1000), "1", std::string(" }}")),
        std::tuple("{{ x" + repeat("|e", 1000), "", std::string(" }}")),
        std::tuple("{{ x" + repeat("[0]", 1000), "", std::string(" }}")),
        std::tuple("{{ " + repeat("1 if 1 else ", 1000), "1", std::string(" }}")),
        std::tuple(repeat("{% if 1 %}", 1000), "", repeat("{% endif %}", 1000)),
        std::tuple("{% if 1 %}" + repeat("{% elif 1 %}", 1000), "", std::string("{% endif %}")),
        std::tuple("{% for " + repeat("(", 1000), "x", repeat(")", 1000) + " in y %}{% endfor %}")}) {
    INFO(open.substr(0, 40));
    CHECK(failure(open + std::string(middle) + close).ends_with(": the template nests too deep"));
  }
}

TEST_CASE("jinja: errors say where and what", "[runtime][jinja]") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a\n\n{% if %}", "line 3: expected an expression, found '%}'"},
      {"{% for x in y %}", "line 1: the template ends where {% endfor %} was expected"},
      {"{{ 1", "line 1: a tag has no end (}})"},
      {"{# a", "line 1: the comment has no end (#})"},
      {"{{ 'a }}", "line 1: a string has no end"},
      {"{{ (1] }}", "line 1: unexpected ']'"},
      {"{% include 'x' %}", "line 1: {% include %} would read another file, which a chat template may not"},
      {"{% break %}", "line 1: {% break %} outside of a loop"},
      {"{{ x|nothing }}", "there is no filter 'nothing'"},
      {"{{ x is nothing }}", "there is no test 'nothing'"},
      {"{{ x.y }}", "'x' is undefined"},
      {"{{ {}.a.b }}", "'dict' has no attribute 'a'"},
      {"{{ raise_exception('No tools here.') }}", "No tools here."},
      {"{{ [].append(1) }}", "a list cannot be changed by a template"},
      {"{% set x.y = 1 %}", "cannot assign an attribute on a Undefined, only on a namespace"},
  };
  for (const auto& [source, wanted] : cases) {
    INFO(source);
    CHECK(failure(source) == wanted);
  }
}

TEST_CASE("jinja: JSON that is none, too deep or too large is refused", "[runtime][jinja]") {
  CHECK(value_of_json("{", 0).status().message == "this is no JSON");
  CHECK(value_of_json(repeat("[", 500) + repeat("]", 500), 0).status().message == "the JSON nests too deep");
  CHECK_FALSE(value_of_json("9223372036854775808", 0).ok());
  CHECK(take(value_of_json("-9223372036854775808", 0)).whole() == INT64_MIN);
}
