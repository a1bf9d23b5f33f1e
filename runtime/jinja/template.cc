#include "runtime/jinja/template.h"

#include "base/try.h"
#include "runtime/jinja/ast.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/parser.h"

namespace reform::jinja {

Result<Template> Template::parse(std::string_view source) {
  TRY_ASSIGN(NodePtr root, jinja::parse(source));
  return Template(std::shared_ptr<const Node>(std::move(root)));
}

Result<Text> Template::render(const Variables& variables, const Limits& limits) const {
  return Interpreter(limits).run(*root_, variables);
}

}  // namespace reform::jinja
