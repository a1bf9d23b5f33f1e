#include "runtime/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>

#include "runtime/jinja/literals.h"

namespace reform::jinja {
namespace {

using Kind = Token::Kind;

bool is_any(const TokenCursor& at, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return at.is_name(name); });
}

}  // namespace

Result<NodePtr> ExpressionParser::binary(std::string sign, NodePtr left, NodePtr right) {
  NodePtr node = at_.make(Node::Kind::kBinary);
  node->name = std::move(sign);
  node->children.push_back(std::move(left));
  node->children.push_back(std::move(right));
  return at_.done(std::move(node));
}

Result<NodePtr> ExpressionParser::expression(bool with_conditional) {
  const TokenCursor::Nesting nesting(at_);
  TRY(nesting.status());
  return with_conditional ? conditional() : either();
}

Result<NodePtr> ExpressionParser::conditional() {
  TRY_ASSIGN(NodePtr value, either());
  while (at_.is_name("if")) {
    NodePtr node = at_.make(Node::Kind::kConditional);
    at_.next();
    TRY_ASSIGN(NodePtr condition, either());
    node->children.push_back(std::move(condition));
    node->children.push_back(std::move(value));
    if (at_.skip_name("else")) {
      TRY_ASSIGN(NodePtr other, expression());
      node->children.push_back(std::move(other));
    }
    TRY_ASSIGN(value, at_.done(std::move(node)));
  }
  return value;
}

Result<NodePtr> ExpressionParser::either() {
  TRY_ASSIGN(NodePtr left, both());
  while (at_.skip_name("or")) {
    TRY_ASSIGN(NodePtr right, both());
    TRY_ASSIGN(left, binary("or", std::move(left), std::move(right)));
  }
  return left;
}

Result<NodePtr> ExpressionParser::both() {
  TRY_ASSIGN(NodePtr left, negation());
  while (at_.skip_name("and")) {
    TRY_ASSIGN(NodePtr right, negation());
    TRY_ASSIGN(left, binary("and", std::move(left), std::move(right)));
  }
  return left;
}

Result<NodePtr> ExpressionParser::negation() {
  if (!at_.is_name("not")) return comparison();
  const TokenCursor::Nesting nesting(at_);
  TRY(nesting.status());
  NodePtr node = at_.make(Node::Kind::kUnary);
  node->name = "not";
  at_.next();
  TRY_ASSIGN(NodePtr operand, negation());
  node->children.push_back(std::move(operand));
  return at_.done(std::move(node));
}

Result<NodePtr> ExpressionParser::comparison() {
  TRY_ASSIGN(NodePtr left, sum());
  NodePtr node = at_.make(Node::Kind::kCompare);
  node->children.push_back(std::move(left));
  while (true) {
    std::string sign;
    for (const char* candidate : {"==", "!=", "<=", ">=", "<", ">"})
      if (sign.empty() && at_.skip_operator(candidate)) sign = candidate;
    if (sign.empty() && at_.skip_name("in")) sign = "in";
    if (sign.empty() && at_.is_name("not") && at_.ahead(1).kind == Kind::kName && at_.ahead(1).text == "in") {
      at_.next(), at_.next();
      sign = "not in";
    }
    if (sign.empty()) break;
    node->operators.push_back(sign);
    TRY_ASSIGN(NodePtr right, sum());
    node->children.push_back(std::move(right));
  }
  if (node->operators.empty()) return std::move(node->children[0]);
  return at_.done(std::move(node));
}

Result<NodePtr> ExpressionParser::sum() {
  TRY_ASSIGN(NodePtr left, concatenation());
  while (at_.is_operator("+") || at_.is_operator("-")) {
    const std::string sign = at_.next().text;
    TRY_ASSIGN(NodePtr right, concatenation());
    TRY_ASSIGN(left, binary(sign, std::move(left), std::move(right)));
  }
  return left;
}

Result<NodePtr> ExpressionParser::concatenation() {
  TRY_ASSIGN(NodePtr left, product());
  if (!at_.is_operator("~")) return left;
  NodePtr node = at_.make(Node::Kind::kConcat);
  node->children.push_back(std::move(left));
  while (at_.skip_operator("~")) {
    TRY_ASSIGN(NodePtr right, product());
    node->children.push_back(std::move(right));
  }
  return at_.done(std::move(node));
}

Result<NodePtr> ExpressionParser::product() {
  TRY_ASSIGN(NodePtr left, power());
  while (at_.is_operator("*") || at_.is_operator("/") || at_.is_operator("//") || at_.is_operator("%")) {
    const std::string sign = at_.next().text;
    TRY_ASSIGN(NodePtr right, power());
    TRY_ASSIGN(left, binary(sign, std::move(left), std::move(right)));
  }
  return left;
}

Result<NodePtr> ExpressionParser::power() {
  TRY_ASSIGN(NodePtr left, sign(true));
  while (at_.skip_operator("**")) {
    TRY_ASSIGN(NodePtr right, sign(true));
    TRY_ASSIGN(left, binary("**", std::move(left), std::move(right)));
  }
  return left;
}

Result<NodePtr> ExpressionParser::sign(bool with_filters) {
  const TokenCursor::Nesting nesting(at_);
  TRY(nesting.status());
  NodePtr node;
  if (at_.is_operator("-") || at_.is_operator("+")) {
    node = at_.make(Node::Kind::kUnary);
    node->name = at_.next().text;
    TRY_ASSIGN(NodePtr operand, sign(false));
    node->children.push_back(std::move(operand));
    TRY_ASSIGN(node, at_.done(std::move(node)));
  } else {
    TRY_ASSIGN(node, primary());
  }
  TRY_ASSIGN(node, postfix(std::move(node)));
  return with_filters ? filters_and_tests(std::move(node)) : Result<NodePtr>(std::move(node));
}

Result<NodePtr> ExpressionParser::primary() {
  NodePtr node = at_.make(Node::Kind::kConstant);
  const Token token = at_.now();
  switch (token.kind) {
    case Kind::kName:
      at_.next();
      if (token.text == "true" || token.text == "True" || token.text == "false" || token.text == "False") {
        node->constant = Value(token.text[0] == 't' || token.text[0] == 'T');
      } else if (token.text == "none" || token.text == "None") {
        node->constant = Value(None{});
      } else {
        node->kind = Node::Kind::kName;
        node->name = token.text;
      }
      return node;
    case Kind::kString: {
      std::string text;
      while (at_.is(Kind::kString)) text += at_.next().text;
      node->constant = Value(std::move(text));
      return node;
    }
    case Kind::kInteger: {
      const auto value = integer_value(token.text);
      if (!value.ok()) return at_.fail(value.status().message);
      node->constant = Value(value.value());
      at_.next();
      return node;
    }
    case Kind::kFloat: {
      double value = 0;
      std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
      node->constant = Value(value);
      at_.next();
      return node;
    }
    default:
      break;
  }
  if (at_.skip_operator("(")) {
    TRY_ASSIGN(node, tuple(true, {}, true));
    TRY(at_.expect_operator(")"));
    return node;
  }
  if (at_.is_operator("[")) return list();
  if (at_.is_operator("{")) return dict();
  return at_.fail("expected an expression, found " + at_.described());
}

Result<NodePtr> ExpressionParser::list() {
  NodePtr node = at_.make(Node::Kind::kList);
  TRY(at_.expect_operator("["));
  while (!at_.is_operator("]")) {
    if (!node->children.empty()) TRY(at_.expect_operator(","));
    if (at_.is_operator("]")) break;
    TRY_ASSIGN(NodePtr item, expression());
    node->children.push_back(std::move(item));
  }
  TRY(at_.expect_operator("]"));
  return at_.done(std::move(node));
}

Result<NodePtr> ExpressionParser::dict() {
  NodePtr node = at_.make(Node::Kind::kDict);
  TRY(at_.expect_operator("{"));
  while (!at_.is_operator("}")) {
    if (!node->children.empty()) TRY(at_.expect_operator(","));
    if (at_.is_operator("}")) break;
    TRY_ASSIGN(NodePtr key, expression());
    TRY(at_.expect_operator(":"));
    TRY_ASSIGN(NodePtr value, expression());
    node->children.push_back(std::move(key));
    node->children.push_back(std::move(value));
  }
  TRY(at_.expect_operator("}"));
  return at_.done(std::move(node));
}

Result<NodePtr> ExpressionParser::tuple(bool with_conditional, std::initializer_list<std::string_view> ends,
                                        bool in_brackets) {
  NodePtr node = at_.make(Node::Kind::kTuple);
  bool has_comma = false;
  while (true) {
    if (!node->children.empty()) {
      if (!at_.skip_operator(",")) break;
      has_comma = true;
    }
    if (at_.is(Kind::kPrintEnd) || at_.is(Kind::kBlockEnd) || at_.is_operator(")") || is_any(at_, ends)) break;
    TRY_ASSIGN(NodePtr item, expression(with_conditional));
    node->children.push_back(std::move(item));
  }
  if (!has_comma && !node->children.empty()) return std::move(node->children[0]);
  if (node->children.empty() && !in_brackets) return at_.fail("expected an expression, found " + at_.described());
  return at_.done(std::move(node));
}

Result<NodePtr> ExpressionParser::one_target(bool with_attribute) {
  NodePtr node = at_.make(Node::Kind::kName);
  if (at_.skip_operator("(")) {
    TRY_ASSIGN(node, target(false));
    TRY(at_.expect_operator(")"));
    return node;
  }
  node->name = at_.now().text;
  TRY(at_.expect(Kind::kName, "a name to assign to"));
  for (const char* constant : {"true", "True", "false", "False", "none", "None"})
    if (node->name == constant) return at_.fail("cannot assign to " + node->name);
  if (!with_attribute || !at_.skip_operator(".")) return node;
  NodePtr attribute = at_.make(Node::Kind::kAttribute);
  attribute->name = at_.now().text;
  TRY(at_.expect(Kind::kName, "an attribute's name"));
  attribute->children.push_back(std::move(node));
  return at_.done(std::move(attribute));
}

Result<NodePtr> ExpressionParser::target(bool with_attribute, std::initializer_list<std::string_view> ends) {
  const TokenCursor::Nesting nesting(at_);
  TRY(nesting.status());
  NodePtr node = at_.make(Node::Kind::kTuple);
  bool has_comma = false;
  while (true) {
    TRY_ASSIGN(NodePtr item, one_target(with_attribute));
    node->children.push_back(std::move(item));
    if (!at_.skip_operator(",")) break;
    has_comma = true;
    if (is_any(at_, ends) || at_.is_operator(")") || at_.is_operator("=") || at_.is(Kind::kBlockEnd)) break;
  }
  if (!has_comma) return std::move(node->children[0]);
  return at_.done(std::move(node));
}

Result<NodePtr> ExpressionParser::postfix(NodePtr node) {
  while (true) {
    if (at_.is_operator(".")) {
      TRY_ASSIGN(node, attribute(std::move(node)));
    } else if (at_.is_operator("[")) {
      TRY_ASSIGN(node, subscript(std::move(node)));
    } else if (at_.is_operator("(")) {
      TRY_ASSIGN(node, call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<NodePtr> ExpressionParser::filters_and_tests(NodePtr node) {
  while (true) {
    if (at_.is_operator("|")) {
      TRY_ASSIGN(node, filters(std::move(node), false));
    } else if (at_.is_name("is")) {
      TRY_ASSIGN(node, test(std::move(node)));
    } else if (at_.is_operator("(")) {
      TRY_ASSIGN(node, call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<NodePtr> ExpressionParser::attribute(NodePtr object) {
  at_.next();
  NodePtr node = at_.make(Node::Kind::kAttribute);
  if (at_.is(Kind::kInteger)) {
    node->kind = Node::Kind::kItem;
    TRY_ASSIGN(NodePtr key, primary());
    node->children.push_back(std::move(object));
    node->children.push_back(std::move(key));
    return at_.done(std::move(node));
  }
  node->children.push_back(std::move(object));
  node->name = at_.now().text;
  TRY(at_.expect(Kind::kName, "an attribute's name"));
  return at_.done(std::move(node));
}

Result<NodePtr> ExpressionParser::subscript(NodePtr object) {
  NodePtr node = at_.make(Node::Kind::kItem);
  at_.next();
  std::vector<NodePtr> keys;
  bool has_comma = false;
  while (!at_.is_operator("]")) {
    if (!keys.empty()) {
      TRY(at_.expect_operator(","));
      has_comma = true;
      if (at_.is_operator("]")) break;
    }
    TRY_ASSIGN(NodePtr key, subscript_key());
    keys.push_back(std::move(key));
  }
  TRY(at_.expect_operator("]"));
  if (keys.empty()) return at_.fail("empty brackets");
  if (!has_comma && keys[0]->kind == Node::Kind::kSlice) {
    keys[0]->children[0] = std::move(object);
    return at_.done(std::move(keys[0]));
  }
  for (const NodePtr& key : keys)
    if (key->kind == Node::Kind::kSlice) return at_.fail("a slice among several keys");
  node->children.push_back(std::move(object));
  if (!has_comma) {
    node->children.push_back(std::move(keys[0]));
    return at_.done(std::move(node));
  }
  NodePtr tuple_key = at_.make(Node::Kind::kTuple);
  tuple_key->children = std::move(keys);
  TRY_ASSIGN(NodePtr key, at_.done(std::move(tuple_key)));
  node->children.push_back(std::move(key));
  return at_.done(std::move(node));
}

// A key, or a slice whose object is still missing.
Result<NodePtr> ExpressionParser::subscript_key() {
  NodePtr slice = at_.make(Node::Kind::kSlice);
  slice->children.resize(4);
  size_t part = 1;
  while (true) {
    if (at_.is_operator(":")) {
      at_.next();
      if (++part > 3) break;
    } else if (at_.is_operator("]") || at_.is_operator(",")) {
      break;
    } else {
      if (slice->children[part]) return at_.fail("expected ':' or ']', found " + at_.described());
      TRY_ASSIGN(slice->children[part], expression());
    }
  }
  if (part > 3) return at_.fail("a slice has three parts at most");
  if (part == 1 && slice->children[1]) return std::move(slice->children[1]);
  return slice;
}

Status ExpressionParser::arguments(Node& node) {
  TRY(at_.expect_operator("("));
  bool needs_comma = false, had_named = false, had_stars = false;
  while (!at_.is_operator(")")) {
    if (needs_comma) {
      TRY(at_.expect_operator(","));
      if (at_.is_operator(")")) break;
    }
    needs_comma = true;
    Node::Argument argument{"", 0, nullptr};
    if (at_.skip_operator("*")) {
      argument.stars = 1;
    } else if (at_.skip_operator("**")) {
      argument.stars = 2;
    } else if (at_.is(Kind::kName) && at_.ahead(1).kind == Kind::kOperator && at_.ahead(1).text == "=") {
      argument.name = at_.next().text;
      at_.next();
    }
    const bool positional = argument.name.empty() && argument.stars == 0;
    if (positional && (had_named || had_stars))
      return at_.fail("an argument without a name after one with a name or stars");
    had_named = had_named || !argument.name.empty();
    had_stars = had_stars || argument.stars > 0;
    TRY_ASSIGN(argument.value, expression());
    node.arguments.push_back(std::move(argument));
  }
  return at_.expect_operator(")");
}

Result<NodePtr> ExpressionParser::call(NodePtr callee) {
  NodePtr node = at_.make(Node::Kind::kCall);
  node->children.push_back(std::move(callee));
  TRY(arguments(*node));
  return at_.done(std::move(node));
}

Result<std::string> ExpressionParser::dotted_name() {
  std::string name = at_.now().text;
  TRY(at_.expect(Kind::kName, "a name"));
  while (at_.skip_operator(".")) {
    name += "." + at_.now().text;
    TRY(at_.expect(Kind::kName, "a name"));
  }
  return name;
}

Result<NodePtr> ExpressionParser::filters(NodePtr input, bool at_name) {
  while (at_name || at_.is_operator("|")) {
    if (!at_name) at_.next();
    at_name = false;
    NodePtr node = at_.make(Node::Kind::kFilter);
    TRY_ASSIGN(node->name, dotted_name());
    node->children.push_back(std::move(input));
    if (at_.is_operator("(")) TRY(arguments(*node));
    TRY_ASSIGN(input, at_.done(std::move(node)));
  }
  return input;
}

Result<NodePtr> ExpressionParser::test(NodePtr input) {
  NodePtr node = at_.make(Node::Kind::kTest);
  at_.next();
  node->is_negated = at_.skip_name("not");
  TRY_ASSIGN(node->name, dotted_name());
  node->children.push_back(std::move(input));
  const bool is_value = at_.is(Kind::kName) || at_.is(Kind::kString) || at_.is(Kind::kInteger) ||
                        at_.is(Kind::kFloat) || at_.is_operator("[") || at_.is_operator("{");
  if (at_.is_operator("(")) {
    TRY(arguments(*node));
  } else if (is_value && !is_any(at_, {"else", "or", "and"})) {
    if (at_.is_name("is")) return at_.fail("tests cannot be chained with 'is'");
    TRY_ASSIGN(NodePtr argument, primary());
    TRY_ASSIGN(argument, postfix(std::move(argument)));
    node->arguments.push_back({"", 0, std::move(argument)});
  }
  return at_.done(std::move(node));
}

}  // namespace reform::jinja
