// The statements of a template.
#include <algorithm>

#include "base/try.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/nested.h"

namespace reform::jinja {

// What `loop` knows. Shared with the value, which a template may keep.
struct Interpreter::Loop {
  const std::vector<Value>& items;
  int depth;
  std::shared_ptr<Callable> value;
  std::shared_ptr<Value> last_seen;  // of loop.changed()
};

Result<Interpreter::Flow> Interpreter::execute(const std::vector<NodePtr>& statements) {
  for (const NodePtr& statement : statements) {
    TRY_ASSIGN(const Flow flow, execute(*statement));
    if (flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Result<Interpreter::Flow> Interpreter::execute(const Node& node) {
  const Nested nested(*this);
  TRY(nested.status());
  switch (node.kind) {
    case Node::Kind::kText:
      TRY(charge_bytes(int64_t(node.constant.text().size())));
      output_->append(node.constant.text());
      return Flow::kOn;
    case Node::Kind::kPrint:
      TRY(print(node));
      return Flow::kOn;
    case Node::Kind::kIf:
      return run_if(node);
    case Node::Kind::kFor: {
      TRY_ASSIGN(const Value iterated, evaluate(*node.children[1]));
      return run_loop(node, iterated, 1);
    }
    case Node::Kind::kSet:
      TRY(set(node));
      return Flow::kOn;
    case Node::Kind::kSetBlock:
      TRY(set_block(node));
      return Flow::kOn;
    case Node::Kind::kWith:
      return run_with(node);
    case Node::Kind::kMacro: {
      TRY_ASSIGN(Value value, macro(node));
      scope_->set(node.name, std::move(value));
      return Flow::kOn;
    }
    case Node::Kind::kCallBlock:
      TRY(call_block(node));
      return Flow::kOn;
    case Node::Kind::kFilterBlock:
      TRY(filter_block(node));
      return Flow::kOn;
    case Node::Kind::kBody: {
      const InnerScope inner(*this);
      return execute(node.body);
    }
    case Node::Kind::kBreak:
      return Flow::kBreak;
    case Node::Kind::kContinue:
      return Flow::kContinue;
    default:
      return template_error("an expression stands where a statement should");
  }
}

Status Interpreter::print(const Node& node) {
  for (const NodePtr& child : node.children) {
    TRY_ASSIGN(const Value value, evaluate(*child));
    TRY_ASSIGN(const Text text, printed(value));
    TRY(charge_bytes(int64_t(text.size())));
    output_->append(text);
  }
  return {};
}

Result<Interpreter::Flow> Interpreter::run_if(const Node& node) {
  TRY_ASSIGN(const Value condition, evaluate(*node.children[0]));
  return execute(condition.truth() ? node.body : node.otherwise);
}

// Whether the loop's condition holds of the item.
Result<bool> Interpreter::takes_item(const Node& node, const Value& item) {
  if (node.children.size() < 3) return true;
  const InnerScope inner(*this);
  TRY(assign(*node.children[0], item));
  TRY_ASSIGN(const Value condition, evaluate(*node.children[2]));
  return condition.truth();
}

Value Interpreter::loop_value(Loop& loop, size_t i) {
  const size_t n = loop.items.size();
  auto attributes = loop.value->attributes;
  attributes->items = {{Value("index"), Value(i + 1)},
                       {Value("index0"), Value(i)},
                       {Value("first"), Value(i == 0)},
                       {Value("last"), Value(i + 1 == n)},
                       {Value("length"), Value(n)},
                       {Value("revindex"), Value(n - i)},
                       {Value("revindex0"), Value(n - i - 1)},
                       {Value("depth"), Value(loop.depth)},
                       {Value("depth0"), Value(loop.depth - 1)},
                       {Value("previtem"), i > 0 ? loop.items[i - 1] : Value::undefined("there is no previous item")},
                       {Value("nextitem"), i + 1 < n ? loop.items[i + 1] : Value::undefined("there is no next item")}};
  const auto add_method = [&](const char* name, auto function) {
    auto method = std::make_shared<Callable>();
    method->name = name;
    method->call = std::move(function);
    attributes->items.emplace_back(Value(name), Value(std::move(method)));
  };
  add_method("cycle", [i](Interpreter&, const Arguments& given) -> Result<Value> {
    if (given.positional.empty()) return template_error("loop.cycle() needs values");
    return given.positional[i % given.positional.size()];
  });
  add_method(
      "changed",
      [last = std::weak_ptr<Value>(loop.last_seen)](Interpreter& interpreter, const Arguments& given) -> Result<Value> {
        const auto seen = last.lock();  // what it saw may hold this method
        if (!seen) return template_error("loop.changed() after the loop");
        TRY_ASSIGN(const Value now, interpreter.make_list(given.positional, List::Kind::kTuple));
        const bool changed = !equal(*seen, now);
        *seen = now;
        return Value(changed);
      });
  return Value(loop.value);
}

// Of a loop whose body asks for it.
Status Interpreter::make_loop_value(const Node& node, Loop& loop) {
  loop.value = std::make_shared<Callable>();
  loop.value->kind = Callable::Kind::kLoop;
  loop.value->name = "loop";
  TRY_ASSIGN(loop.value->attributes, make_namespace());
  loop.last_seen = std::make_shared<Value>();
  if (!node.is_recursive) return {};
  keep_scopes();
  loop.value->call = [&node, around = scope_, depth = loop.depth](Interpreter& in,
                                                                  const Arguments& given) -> Result<Value> {
    if (given.positional.size() != 1) return template_error("loop() needs what to go through");
    Text output;
    Text* const outer_output = std::exchange(in.output_, &output);
    Scope* const outer_scope = std::exchange(in.scope_, around);
    const auto flow = in.run_loop(node, given.positional[0], depth + 1);
    in.output_ = outer_output;
    in.scope_ = outer_scope;
    TRY(flow);
    return Value(std::move(output));
  };
  return {};
}

// Gives back what a loop took, so that many loops take no more than one.
void Interpreter::end_loop(Loop& loop) {
  if (!loop.value || loop.value.use_count() > 1) return;
  loop.value->attributes->items.clear();
  if (namespaces_.back() == loop.value->attributes) namespaces_.pop_back();
}

Result<Interpreter::Flow> Interpreter::run_loop(const Node& node, const Value& iterated, int depth) {
  TRY_ASSIGN(std::vector<Value> left, items_of(iterated));
  // Of a loop with a condition: those that it held of so far. It sees what the body has done before, unless the body
  // asks for what comes later.
  std::vector<Value> items;
  const bool is_lazy = node.children.size() > 2 && !node.looks_ahead;
  if (!is_lazy) {
    for (Value& item : left) {
      TRY_ASSIGN(const bool taken, takes_item(node, item));
      if (taken) items.push_back(std::move(item));
    }
    left.clear();
  }
  Loop loop{items, depth, nullptr, nullptr};
  if (node.uses_loop) TRY(make_loop_value(node, loop));
  bool is_through = false;  // as in Jinja2, one item was gone through to the body's end
  size_t next = 0;
  for (size_t i = 0;; ++i) {
    for (; is_lazy && items.size() == i && next < left.size(); ++next) {
      TRY_ASSIGN(const bool taken, takes_item(node, left[next]));
      if (taken) items.push_back(left[next]);
    }
    if (i == items.size()) break;
    const InnerScope inner(*this);
    TRY(assign(*node.children[0], items[i]));
    if (node.uses_loop) scope_->set("loop", loop_value(loop, i));
    TRY_ASSIGN(const Flow flow, execute(node.body));
    is_through = is_through || flow == Flow::kOn;
    if (flow == Flow::kBreak) break;
  }
  end_loop(loop);
  if (is_through) return Flow::kOn;
  const InnerScope inner(*this);
  return execute(node.otherwise);
}

Status Interpreter::assign(const Node& target, const Value& value) {
  if (target.kind == Node::Kind::kName) {
    scope_->set(target.name, value);
    return {};
  }
  if (target.kind == Node::Kind::kAttribute) {
    TRY_ASSIGN(const Value object, evaluate(*target.children[0]));
    if (!object.is_dict() || !object.dict()->is_namespace)
      return template_error("cannot assign an attribute on a " + object.type_name() + ", only on a namespace");
    object.dict()->set(Value(target.name), value);
    return {};
  }
  TRY_ASSIGN(const std::vector<Value> items, items_of(value));
  if (items.size() != target.children.size())
    return template_error("cannot unpack " + std::to_string(items.size()) + " values into " +
                          std::to_string(target.children.size()) + " names");
  for (size_t i = 0; i < items.size(); ++i) TRY(assign(*target.children[i], items[i]));
  return {};
}

Status Interpreter::set(const Node& node) {
  TRY_ASSIGN(const Value value, evaluate(*node.children[1]));
  return assign(*node.children[0], value);
}

Result<Text> Interpreter::captured(const std::vector<NodePtr>& statements) {
  Text output;
  Text* const outer = std::exchange(output_, &output);
  const auto flow = execute(statements);
  output_ = outer;
  TRY(flow);
  return output;
}

Status Interpreter::set_block(const Node& node) {
  Value value;
  {
    const InnerScope inner(*this);
    TRY_ASSIGN(Text text, captured(node.body));
    value = Value(std::move(text));
  }
  if (node.children.size() > 1) {
    const Value* const outer = std::exchange(filter_input_, &value);
    auto filtered = evaluate(*node.children[1]);
    filter_input_ = outer;
    if (!filtered.ok()) return filtered.status();
    value = std::move(filtered).value();
  }
  return assign(*node.children[0], value);
}

Status Interpreter::filter_block(const Node& node) {
  const InnerScope inner(*this);
  TRY_ASSIGN(Text text, captured(node.body));
  const Value input(std::move(text));
  const Value* const outer = std::exchange(filter_input_, &input);
  const auto filtered = evaluate(*node.children[0]);
  filter_input_ = outer;
  if (!filtered.ok()) return filtered.status();
  TRY_ASSIGN(const Text output, printed(filtered.value()));
  output_->append(output);
  return {};
}

Result<Interpreter::Flow> Interpreter::run_with(const Node& node) {
  // All values are of the scope outside.
  std::vector<Value> values;
  for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
    TRY_ASSIGN(Value value, evaluate(*node.children[i + 1]));
    values.push_back(std::move(value));
  }
  const InnerScope inner(*this);
  for (size_t i = 0; i < values.size(); ++i) TRY(assign(*node.children[2 * i], values[i]));
  return execute(node.body);
}

Status Interpreter::call_block(const Node& node) {
  TRY_ASSIGN(const Value callee, evaluate(*node.children[0]->children[0]));
  TRY_ASSIGN(Arguments given, arguments(*node.children[0]));
  TRY_ASSIGN(Value caller, macro(node));
  given.named.emplace_back("caller", std::move(caller));
  TRY_ASSIGN(const Value result, call(callee, given));
  TRY_ASSIGN(const Text text, printed(result));
  output_->append(text);
  return {};
}

void Interpreter::keep_scopes() {
  for (Scope* scope = scope_; scope; scope = scope->parent) scope->is_kept = true;
}

Result<Value> Interpreter::macro(const Node& node) {
  keep_scopes();
  auto callable = std::make_shared<Callable>();
  callable->kind = Callable::Kind::kMacro;
  callable->name = node.name;
  TRY_ASSIGN(callable->attributes, make_namespace());
  std::vector<Value> names;
  for (const Node::Parameter& parameter : node.parameters) names.emplace_back(parameter.name);
  callable->attributes->set(Value("name"), Value(node.name));
  callable->attributes->set(Value("arguments"), Value::list(std::move(names), List::Kind::kTuple));
  callable->call = [&node, around = scope_](Interpreter& in, const Arguments& given) {
    return in.run_macro(node, around, given);
  };
  return Value(std::move(callable));
}

Status Interpreter::bind_parameters(const Node& node, const Arguments& given) {
  const size_t n = node.parameters.size();
  std::vector<bool> is_bound(n, false);
  for (size_t i = 0; i < std::min(n, given.positional.size()); ++i) {
    scope_->set(node.parameters[i].name, given.positional[i]);
    is_bound[i] = true;
  }
  const auto more = std::make_shared<Dict>();
  for (const auto& [name, value] : given.named) {
    const auto found = std::find_if(node.parameters.begin(), node.parameters.end(),
                                    [&, &wanted = name](const Node::Parameter& p) { return p.name == wanted; });
    if (found == node.parameters.end()) {
      more->set(Value(name), value);
      continue;
    }
    const size_t i = size_t(found - node.parameters.begin());
    if (is_bound[i]) return template_error("macro '" + node.name + "' got two values for '" + name + "'");
    scope_->set(name, value);
    is_bound[i] = true;
  }
  for (size_t i = 0; i < n; ++i) {
    if (is_bound[i]) continue;
    const Node::Parameter& parameter = node.parameters[i];
    Value value = Value::undefined("parameter '" + parameter.name + "' was not provided");
    if (parameter.otherwise) {
      TRY_ASSIGN(value, evaluate(*parameter.otherwise));
    }
    scope_->set(parameter.name, value);
  }
  if (const Value* caller = more->find_name("caller"); caller && node.takes_caller) {
    scope_->set("caller", *caller);
    std::erase_if(more->items, [](const auto& item) { return item.first.bytes() == "caller"; });
  }
  const bool takes_more = node.takes_varargs, takes_named = node.takes_kwargs;
  if ((given.positional.size() > n && !takes_more) || (!more->items.empty() && !takes_named))
    return template_error("macro '" + node.name + "' takes no such argument" +
                          (more->items.empty() ? "" : ": " + more->items[0].first.bytes()));
  if (takes_named) scope_->set("kwargs", Value(more));
  if (takes_more) {
    std::vector<Value> rest(given.positional.begin() + long(std::min(n, given.positional.size())),
                            given.positional.end());
    TRY_ASSIGN(Value list, make_list(std::move(rest), List::Kind::kTuple));
    scope_->set("varargs", std::move(list));
  }
  return {};
}

Result<Value> Interpreter::run_macro(const Node& node, Scope* around, const Arguments& given) {
  Scope* const outer = std::exchange(scope_, around);
  Result<Value> result = Value();
  {
    const InnerScope inner(*this);
    const Status bound = bind_parameters(node, given);
    if (bound.ok()) {
      auto text = captured(node.body);
      result = text.ok() ? Result<Value>(Value(std::move(text).value())) : Result<Value>(text.status());
    } else {
      result = bound;
    }
  }
  scope_ = outer;
  return result;
}

}  // namespace reform::jinja
