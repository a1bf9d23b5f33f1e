// The expressions of a template.
#include "base/try.h"
#include "runtime/jinja/filters.h"
#include "runtime/jinja/globals.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/nested.h"
#include "runtime/jinja/operations.h"
#include "runtime/jinja/tests.h"

namespace reform::jinja {

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope; scope = scope->parent)
    for (const auto& [variable, value] : scope->variables)
      if (variable == name) return &value;
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  for (auto& [variable, old] : variables)
    if (variable == name) {
      old = std::move(value);
      return;
    }
  variables.emplace_back(name, std::move(value));
}

Interpreter::~Interpreter() {
  for (const auto& dict : namespaces_) dict->items.clear();
}

Result<Text> Interpreter::run(const Node& root, const Variables& variables) {
  Scope globals, context, own;
  globals.variables = global_variables();
  context.parent = &globals;
  for (const auto& [name, value] : variables) context.set(name, value);
  own.parent = &context;
  scope_ = &own;
  Text output;
  output_ = &output;
  TRY(execute(root.body));
  return output;
}

Status Interpreter::charge(int64_t steps) {
  steps_left_ -= std::min(steps, steps_left_ + 1);
  return steps_left_ < 0 ? template_error("the template takes too many steps") : Status{};
}

Status Interpreter::charge_bytes(int64_t bytes) {
  bytes_left_ -= std::min(bytes, bytes_left_ + 1);
  return bytes_left_ < 0 ? template_error("the template makes too much text, or too long lists") : Status{};
}

// Values are taken apart, compared and printed recursively.
Status Interpreter::check_depth(const Value& value) {
  constexpr int kMaxValueDepth = 64;
  return value.depth() > kMaxValueDepth ? template_error("lists and dictionaries nest too deep") : Status{};
}

Result<Value> Interpreter::made(Value value) {
  TRY(check_depth(value));
  TRY(charge(value.weight()));
  TRY(charge_bytes(value.is_text()   ? int64_t(value.text().size())
                   : value.is_list() ? int64_t(value.list().items.size() * sizeof(Value))
                   : value.is_dict() ? int64_t(value.dict()->items.size() * 2 * sizeof(Value))
                                     : 0));
  return value;
}

Result<Value> Interpreter::make_list(std::vector<Value> items, List::Kind kind) {
  return made(Value::list(std::move(items), kind));
}

Result<std::shared_ptr<Dict>> Interpreter::make_namespace() {
  constexpr int64_t kBytes = 512;  // about, with what goes along with it
  TRY(charge_bytes(kBytes));
  namespaces_.push_back(std::make_shared<Dict>());
  namespaces_.back()->is_namespace = true;
  return namespaces_.back();
}

Result<Value> Interpreter::call(const Value& callee, const Arguments& given) {
  if (callee.is_undefined()) return template_error(callee.undefined_what());
  if (!callee.is_callable() || !callee.callable()->call)
    return template_error("a value of type " + callee.type_name() + " cannot be called");
  for (const Value& value : given.positional) TRY(charge(value.weight()));
  for (const auto& [name, value] : given.named) TRY(charge(value.weight()));
  const Callable& callable = *callee.callable();
  TRY_ASSIGN(Value result, callable.call(*this, given));
  TRY(check_depth(result));
  return result;
}

Result<std::vector<Value>> Interpreter::items_of(const Value& value) {
  TRY(charge(value.weight()));
  std::vector<Value> items;
  if (value.is_list()) {
    if (value.list().used_up) return items;
    value.list().used_up = value.list().kind == List::Kind::kOnce;
    return value.list().items;
  }
  if (value.is_dict() && !value.dict()->is_namespace) {
    for (const auto& [key, item] : value.dict()->items) items.push_back(key);
    return items;
  }
  if (value.is_text()) {
    const std::vector<size_t> begins = character_begins(value.bytes());
    TRY(charge(int64_t(begins.size())));
    TRY(charge_bytes(int64_t(begins.size() * sizeof(Text))));
    for (size_t i = 0; i + 1 < begins.size(); ++i) items.emplace_back(value.text().part(begins[i], begins[i + 1]));
    return items;
  }
  if (value.is_undefined()) return items;
  return template_error("a value of type " + value.type_name() + " cannot be gone through");
}

Result<Text> Interpreter::printed(const Value& value) {
  TRY(charge(value.weight()));
  TRY_ASSIGN(Text text, to_text(value));
  TRY(charge_bytes(int64_t(text.size())));
  return text;
}

Result<Value> Interpreter::filtered(const std::string& name, const Value& input, const Arguments& given) {
  const Filter filter = find_filter(name);
  if (!filter) return template_error("there is no filter '" + name + "'");
  TRY(charge(input.weight()));
  for (const Value& value : given.positional) TRY(charge(value.weight()));
  TRY_ASSIGN(Value value, filter(*this, input, given));
  return made(std::move(value));
}

Result<bool> Interpreter::tested(const std::string& name, const Value& input, const Arguments& given) {
  const Test test = find_test(name);
  if (!test) return template_error("there is no test '" + name + "'");
  TRY(charge(input.weight()));
  for (const Value& value : given.positional) TRY(charge(value.weight()));
  return test(*this, input, given);
}

Result<Value> Interpreter::evaluate(const Node& node) {
  const Nested nested(*this);
  TRY(nested.status());
  return evaluate_unlimited(node);
}

Result<Value> Interpreter::evaluate_unlimited(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kConstant:
      return node.constant;
    case Node::Kind::kName:
      return variable(node.name);
    case Node::Kind::kFilterInput:
      return *filter_input_;
    case Node::Kind::kList:
    case Node::Kind::kTuple: {
      TRY_ASSIGN(std::vector<Value> items, evaluate_all(node.children));
      return make_list(std::move(items), node.kind == Node::Kind::kList ? List::Kind::kList : List::Kind::kTuple);
    }
    case Node::Kind::kDict:
      return dict(node);
    case Node::Kind::kUnary:
      return unary(node);
    case Node::Kind::kBinary:
      return binary(node);
    case Node::Kind::kConcat:
      return concatenated(node);
    case Node::Kind::kCompare:
      return comparison(node);
    case Node::Kind::kConditional:
      return conditional(node);
    case Node::Kind::kAttribute: {
      TRY_ASSIGN(const Value object, evaluate(*node.children[0]));
      TRY_ASSIGN(Value value, attribute_of(object, node.name));
      TRY(check_depth(value));
      return value;
    }
    case Node::Kind::kItem: {
      TRY_ASSIGN(const std::vector<Value> parts, evaluate_all(node.children));
      TRY(charge(parts[0].weight() + parts[1].weight()));
      TRY_ASSIGN(Value item, item_of(parts[0], parts[1]));
      return made(std::move(item));
    }
    case Node::Kind::kSlice:
      return slice(node);
    case Node::Kind::kCall: {
      TRY_ASSIGN(const Value callee, evaluate(*node.children[0]));
      TRY_ASSIGN(const Arguments given, arguments(node));
      return call(callee, given);
    }
    case Node::Kind::kFilter: {
      TRY_ASSIGN(const Value input, evaluate(*node.children[0]));
      TRY_ASSIGN(const Arguments given, arguments(node));
      return filtered(node.name, input, given);
    }
    case Node::Kind::kTest: {
      TRY_ASSIGN(const Value input, evaluate(*node.children[0]));
      TRY_ASSIGN(const Arguments given, arguments(node));
      TRY_ASSIGN(const bool holds, tested(node.name, input, given));
      return Value(holds != node.is_negated);
    }
    default:
      return template_error("a statement stands where an expression should");
  }
}

Result<Value> Interpreter::variable(const std::string& name) {
  if (const Value* value = scope_->find(name)) return *value;
  return Value::undefined("'" + name + "' is undefined");
}

Result<std::vector<Value>> Interpreter::evaluate_all(const std::vector<NodePtr>& nodes) {
  std::vector<Value> values;
  values.reserve(nodes.size());
  for (const NodePtr& node : nodes) {
    TRY_ASSIGN(Value value, evaluate(*node));
    values.push_back(std::move(value));
  }
  return values;
}

Result<Value> Interpreter::dict(const Node& node) {
  TRY_ASSIGN(std::vector<Value> parts, evaluate_all(node.children));
  auto dict = std::make_shared<Dict>();
  for (size_t i = 0; i + 1 < parts.size(); i += 2) {
    if (!is_hashable(parts[i])) return template_error("a " + parts[i].type_name() + " cannot be a key");
    TRY(charge(int64_t(dict->items.size())));
    dict->set(std::move(parts[i]), std::move(parts[i + 1]));
  }
  return made(Value(std::move(dict)));
}

Result<Value> Interpreter::unary(const Node& node) {
  TRY_ASSIGN(const Value operand, evaluate(*node.children[0]));
  if (node.name == "not") return Value(!operand.truth());
  if (operand.is_undefined()) return template_error(operand.undefined_what());
  if (!operand.is_number()) return template_error("'" + node.name + "' does not go with a " + operand.type_name());
  if (operand.is_double()) return Value(node.name == "-" ? -operand.number() : operand.number());
  return arithmetic(node.name, Value(0), operand);
}

Result<Value> Interpreter::binary(const Node& node) {
  TRY_ASSIGN(const Value left, evaluate(*node.children[0]));
  if (node.name == "and" || node.name == "or") {
    if (left.truth() == (node.name == "or")) return left;
    return evaluate(*node.children[1]);
  }
  TRY_ASSIGN(const Value right, evaluate(*node.children[1]));
  TRY(charge(left.weight() + right.weight()));
  TRY(charge_bytes(result_bytes(node.name, left, right)));
  if (node.name == "%" && left.is_text()) {
    TRY_ASSIGN(Text text, formatted(*this, left.text(), right));
    return made(Value(std::move(text)));
  }
  TRY_ASSIGN(Value value, arithmetic(node.name, left, right));
  return made(std::move(value));
}

Result<Value> Interpreter::concatenated(const Node& node) {
  Text text;
  for (const NodePtr& child : node.children) {
    TRY_ASSIGN(const Value value, evaluate(*child));
    TRY_ASSIGN(const Text part, printed(value));
    text.append(part);
  }
  return made(Value(std::move(text)));
}

Result<bool> Interpreter::compared(const std::string& sign, const Value& left, const Value& right) {
  TRY(charge(left.weight() + right.weight()));
  if (sign == "==") return equal(left, right);
  if (sign == "!=") return !equal(left, right);
  if (sign == "in") return contains(right, left);
  if (sign == "not in") {
    TRY_ASSIGN(const bool found, contains(right, left));
    return !found;
  }
  TRY_ASSIGN(const int order, compare(left, right));
  return sign == "<" ? order < 0 : sign == "<=" ? order <= 0 : sign == ">" ? order > 0 : order >= 0;
}

Result<Value> Interpreter::comparison(const Node& node) {
  TRY_ASSIGN(Value left, evaluate(*node.children[0]));
  for (size_t i = 0; i < node.operators.size(); ++i) {
    TRY_ASSIGN(Value right, evaluate(*node.children[i + 1]));
    TRY_ASSIGN(const bool holds, compared(node.operators[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Interpreter::conditional(const Node& node) {
  TRY_ASSIGN(const Value condition, evaluate(*node.children[0]));
  if (condition.truth()) return evaluate(*node.children[1]);
  if (node.children.size() > 2) return evaluate(*node.children[2]);
  return Value::undefined("the inline if-expression has no 'else' and its condition is false");
}

Result<Value> Interpreter::slice(const Node& node) {
  Value parts[4] = {Value(), Value(None{}), Value(None{}), Value(None{})};
  for (size_t i = 0; i < 4; ++i)
    if (node.children[i]) {
      TRY_ASSIGN(parts[i], evaluate(*node.children[i]));
    }
  TRY(charge(parts[0].weight()));
  TRY_ASSIGN(Value value, slice_of(parts[0], parts[1], parts[2], parts[3]));
  return made(std::move(value));
}

Result<Arguments> Interpreter::arguments(const Node& node) {
  Arguments given;
  for (const Node::Argument& argument : node.arguments) {
    TRY_ASSIGN(Value value, evaluate(*argument.value));
    if (argument.stars == 0 && argument.name.empty()) {
      given.positional.push_back(std::move(value));
    } else if (argument.stars == 0) {
      given.named.emplace_back(argument.name, std::move(value));
    } else if (argument.stars == 1) {
      TRY_ASSIGN(const std::vector<Value> items, items_of(value));
      given.positional.insert(given.positional.end(), items.begin(), items.end());
    } else {
      if (!value.is_dict()) return template_error("** needs a dictionary, not a " + value.type_name());
      for (const auto& [key, item] : value.dict()->items) {
        if (!key.is_text() || !key.text().origins().empty())
          return template_error("** needs names that the template itself spells");
        given.named.emplace_back(key.bytes(), item);
      }
    }
  }
  return given;
}

}  // namespace reform::jinja
