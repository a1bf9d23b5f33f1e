// Templates to begin with, one for each part of the language.
#include <fstream>
#include <string>

int main(int, char** argv) {
  const char* const seeds[] = {
      "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m.content|trim + '<|im_end|>' }}{% endfor %}",
      "{%- set ns = namespace(n=0, l=[]) -%}{% for m in messages if m.role != 'tool' %}{% set ns.n = ns.n + 1 %}{{ "
      "loop.index }}{{ loop.previtem.role if loop.previtem }}{% else %}-{% endfor %}{{ ns.n }}",
      "{% macro show(x, depth=0) %}{% if x is mapping %}{% for k, v in x.items() %}{{ k }}:{{ show(v, depth + 1) }}{% "
      "endfor %}{% else %}{{ x|tojson }}{% endif %}{% endmacro %}{{ show(messages[2]) }}",
      "{% for m in messages recursive %}{{ m.role }}{{ loop(m.tool_calls) if m.tool_calls }}{% endfor %}",
      "{% set s %}a{{ n }}{% endset %}{{ s * 3 }}{{ messages|map(attribute='role')|join(', ') }}",
      "{% call(x) show(1) %}{{ x }}{% endcall %}{% filter upper %}abc{% endfilter %}{% with a=1 %}{{ a }}{% endwith %}",
      "{{ messages|selectattr('role', 'in', ['user', 'tool'])|list|length }}{{ tools|tojson(indent=4) }}",
      "{{ 'a,b'.split(',')[::-1] }}{{ s.title()[1:-1] }}{{ '%5.2f|%-4s' % (x, n) }}{{ '{:>8}'.format(s) }}",
      "{% raw %}{{ x }}{% endraw %}{# c #}{{ n // 2 ** 3 % 5 }}{{ [1, [2]] == (1, 2) }}{{ 1 < 2 <= 3 }}",
      "{{ messages|groupby('role')|list }}{{ {'b': 1, 'a': 2}|dictsort }}{{ [3, 1]|sort|first }}{{ "
      "range(9)|batch(4)|list }}",
  };
  int i = 0;
  for (const char* seed : seeds) std::ofstream(std::string(argv[1]) + "/seed" + std::to_string(i++)) << seed;
}
