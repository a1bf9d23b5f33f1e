// Runs a template's tree over its variables, within limits.
#pragma once

#include <reform/status.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/jinja/ast.h"
#include "runtime/jinja/stack_room.h"
#include "runtime/jinja/template.h"
#include "runtime/jinja/value.h"

namespace reform::jinja {

// Variables by name. A scope that is left is kept if what was made in it sees its variables: a macro, a recursive loop.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string, Value>> variables;
  bool is_kept = false;

  const Value* find(std::string_view name) const;  // here or further out; null: nowhere
  void set(std::string_view name, Value value);    // here
};

class Interpreter {
 public:
  explicit Interpreter(const Limits& limits) : steps_left_(limits.steps), bytes_left_(limits.bytes) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Result<Text> run(const Node& root, const Variables& variables);

  // Work that is about to be done. An error when there is no more left; nothing may be tried after it.
  Status charge(int64_t steps);
  Status charge_bytes(int64_t bytes);
  // The value, if it is within the limits on what values may be.
  Result<Value> made(Value value);
  static Status check_depth(const Value& value);
  Result<Value> make_list(std::vector<Value> items, List::Kind kind = List::Kind::kList);
  Result<std::shared_ptr<Dict>> make_namespace();

  Result<Value> call(const Value& callee, const Arguments& arguments);
  // What a loop goes through: items, keys, characters.
  Result<std::vector<Value>> items_of(const Value& value);
  // str(value) of Python.
  Result<Text> printed(const Value& value);
  Result<Value> filtered(const std::string& name, const Value& input, const Arguments& arguments);
  Result<bool> tested(const std::string& name, const Value& input, const Arguments& arguments);

 private:
  enum class Flow : uint8_t { kOn, kBreak, kContinue };
  struct Loop;

  Result<Flow> execute(const std::vector<NodePtr>& statements);
  Result<Flow> execute(const Node& node);
  Status print(const Node& node);
  Result<Flow> run_if(const Node& node);
  Result<Flow> run_loop(const Node& node, const Value& iterated, int depth);
  Result<bool> takes_item(const Node& node, const Value& item);
  Status make_loop_value(const Node& node, Loop& loop);
  Value loop_value(Loop& loop, size_t i);
  void end_loop(Loop& loop);
  Status set(const Node& node);
  Status set_block(const Node& node);
  Result<Flow> run_with(const Node& node);
  Status filter_block(const Node& node);
  Status call_block(const Node& node);
  Result<Value> macro(const Node& node);
  void keep_scopes();
  Result<Value> run_macro(const Node& node, Scope* around, const Arguments& arguments);
  Status bind_parameters(const Node& node, const Arguments& arguments);
  Status assign(const Node& target, const Value& value);
  Result<Text> captured(const std::vector<NodePtr>& statements);

  Result<Value> evaluate(const Node& node);
  Result<Value> evaluate_unlimited(const Node& node);
  Result<Value> variable(const std::string& name);
  Result<std::vector<Value>> evaluate_all(const std::vector<NodePtr>& nodes);
  Result<Value> dict(const Node& node);
  Result<Value> unary(const Node& node);
  Result<Value> binary(const Node& node);
  Result<Value> concatenated(const Node& node);
  Result<Value> comparison(const Node& node);
  Result<bool> compared(const std::string& sign, const Value& left, const Value& right);
  Result<Value> conditional(const Node& node);
  Result<Value> slice(const Node& node);
  Result<Arguments> arguments(const Node& node);

  // A scope inside the present one, for as long as this lives.
  class InnerScope;
  // Counts how deep evaluation nests.
  class Nested;

  int64_t steps_left_, bytes_left_;
  int depth_ = 0;
  const StackRoom stack_;
  Scope* scope_ = nullptr;
  Text* output_ = nullptr;
  const Value* filter_input_ = nullptr;
  std::vector<std::unique_ptr<Scope>> kept_scopes_;
  std::vector<std::shared_ptr<Dict>> namespaces_;  // emptied in the end, as they may hold each other
};

}  // namespace reform::jinja
