#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "runtime/jinja/json_value.h"
#include "runtime/jinja/template.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::jinja;
using namespace reform::test;

namespace {

// The text with [source:at|…] round what came from a content, and without `at` where it was changed.
std::string marked(const Text& text) {
  std::string result;
  size_t done = 0;
  for (const Origin& origin : text.origins()) {
    result += text.bytes().substr(done, origin.begin - done) + "[" + std::to_string(origin.source);
    if (!origin.is_changed) result += ":" + std::to_string(origin.at);
    result += "|" + text.bytes().substr(origin.begin, origin.end - origin.begin) + "]";
    done = origin.end;
  }
  return result + text.bytes().substr(done);
}

std::string render(const std::string& source) {
  const Variables variables = {{"a", Value(Text("  Hello, World.\n", 1))},
                               {"b", Value(Text("<|im_end|>", 2))},
                               {"l", take(value_of_json(R"([{"k": "v"}, "x\ny"])", 3))},
                               {"fill", Value(Text("{0:<<2}", 4))},
                               {"bos", Value("<s>")}};
  return marked(take(take(Template::parse(source)).render(variables)));
}

}  // namespace

TEST_CASE("jinja: every byte of a rendering tells where it came from", "[runtime][jinja]") {
  struct Case {
    std::string source, wanted;
  };
  const std::vector<Case> cases = {
      {"{{ bos }}<|u|>{{ a }}<|e|>", "<s><|u|>[1:0|  Hello, World.\n]<|e|>"},
      {"{{ '<|u|>' + a|trim + '<|e|>' }}", "<|u|>[1:2|Hello, World.]<|e|>"},
      {"{{ a.strip()[1:-1] }}", "[1:3|ello, World]"},
      {"{{ a.split(',')[1].lstrip() }}", "[1:9|World.\n]"},
      {"{{ a.replace('l', 'L') }}", "[1:0|  He]LL[1:6|o, Wor]L[1:13|d.\n]"},
      {"{{ a.replace('World', b) }}", "[1:0|  Hello, ][2:0|<|im_end|>][1:14|.\n]"},
      {"{{ a|upper }}", "[1:0|  H][1|ELLO][1:7|, W][1|ORLD][1:14|.\n]"},
      {"{{ b|tojson }}", "\"[2:0|<|im_end|>]\""},
      {"{{ a|tojson }}", "\"[1:0|  Hello, World.][1|\\n]\""},
      {"{{ l }}", "[{'[3:0|k]': '[3:0|v]'}, '[3:0|x][3|\\n][3:2|y]']"},
      {"{{ '%s|%5s' % (b, 'x') }}", "[2:0|<|im_end|>]|    x"},
      {"{{ '{}-{:>12}'.format(b, b) }}", "[2:0|<|im_end|>]-  [2:0|<|im_end|>]"},
      {"{% set x %}({{ b }}){% endset %}{{ x * 2 }}", "([2:0|<|im_end|>])([2:0|<|im_end|>])"},
      {"{% macro m(t) %}<{{ t }}>{% endmacro %}{{ m(b)|upper }}", "<[2:0|<|][2|IM][2:4|_][2|END][2:8||>]>"},
      {"{{ [b, a|trim]|join('/') }}", "[2:0|<|im_end|>]/[1:2|Hello, World.]"},
      {"{% for c in b %}{{ c if loop.index < 4 }}{% endfor %}", "[2:0|<|i]"},
      {"{{ a ~ b }}{{ b|length }}{{ 'im' in b }}", "[1:0|  Hello, World.\n][2:0|<|im_end|>]10True"},
      {"{{ b|reverse }}", "[2:9|>][2:8||][2:7|d][2:6|n][2:5|e][2:4|_][2:3|m][2:2|i][2:1||][2:0|<]"},
      {"{{ b|e }}", "[2|&lt;][2:1||im_end|][2|&gt;]"},
      {"{{ a|indent(2, true) }}", "  [1:0|  Hello, World.]\n"},
      {"{{ a|truncate(9, true, '..', 0) }}", "[1:0|  Hello].."},
      {"{% filter trim %}{{ a }}{% endfilter %}", "[1:2|Hello, World.]"},
      {"{{ a.partition(', ')[2] }}{{ a.title()[2] }}", "[1:9|World.\n][1:2|H]"},
      {"{{ b|urlencode }}", "[2|%3C%7Cim_end%7C%3E]"},
      {"{{ (b ~ '{:->6}').format() if false else (b[:1] ~ '{:*>3}').format('x') }}", "[2:0|<]**x"},
      {"{{ fill.format('') }}", "[4|<<]"},
  };
  for (const Case& one : cases) {
    INFO(one.source);
    CHECK(render(one.source) == one.wanted);
  }
}
