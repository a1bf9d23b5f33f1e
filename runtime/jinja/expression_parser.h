// Expressions, lowest precedence first: conditional, or, and, not, comparisons, + -, ~, * / // %, **, signs, then
// attributes, items, calls, filters and tests.
#pragma once

#include <initializer_list>
#include <string_view>

#include "runtime/jinja/token_cursor.h"

namespace reform::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenCursor& cursor) : at_(cursor) {}

  Result<NodePtr> expression(bool with_conditional = true);
  // One expression, or several with commas. `ends`: names that end it.
  Result<NodePtr> tuple(bool with_conditional, std::initializer_list<std::string_view> ends = {},
                        bool in_brackets = false);
  // A name, or several with commas; with_attribute: also `name.attribute`.
  Result<NodePtr> target(bool with_attribute, std::initializer_list<std::string_view> ends = {});
  Result<NodePtr> one_target(bool with_attribute = false);  // no commas around it
  // `| name(…)` over `input`, any number of them. at_name: the first has no `|`.
  Result<NodePtr> filters(NodePtr input, bool at_name);

 private:
  Result<NodePtr> conditional();
  Result<NodePtr> either();
  Result<NodePtr> both();
  Result<NodePtr> negation();
  Result<NodePtr> comparison();
  Result<NodePtr> sum();
  Result<NodePtr> concatenation();
  Result<NodePtr> product();
  Result<NodePtr> power();
  Result<NodePtr> sign(bool with_filters);
  Result<NodePtr> primary();
  Result<NodePtr> list();
  Result<NodePtr> dict();
  Result<NodePtr> postfix(NodePtr node);
  Result<NodePtr> filters_and_tests(NodePtr node);
  Result<NodePtr> attribute(NodePtr object);
  Result<NodePtr> subscript(NodePtr object);
  Result<NodePtr> subscript_key();
  Result<NodePtr> call(NodePtr callee);
  Result<NodePtr> test(NodePtr input);
  Status arguments(Node& node);
  Result<std::string> dotted_name();
  Result<NodePtr> binary(std::string sign, NodePtr left, NodePtr right);

  TokenCursor& at_;
};

}  // namespace reform::jinja
