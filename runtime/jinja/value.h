// What a template's variables hold: Python's values, as far as chat templates use them.
//
// Lists, tuples and dictionaries do not change once made, as in Jinja's immutable sandbox; namespaces do. Copies are
// cheap and share.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/jinja/text.h"

namespace reform::jinja {

class Interpreter;
class Value;
struct Callable;
struct Dict;

struct None {};
// A variable, attribute or item that is not there. `what` says which: "'x' is undefined".
struct Undefined {
  std::shared_ptr<const std::string> what;
};

// Everything that is gone through item by item, but strings and dictionaries.
struct List {
  enum class Kind : uint8_t {
    kList,
    kTuple,
    kOnce,   // a generator of Python's: has no length and no items, and is empty once it was gone through
    kView,   // keys(), values(), items() of a dictionary: has a length, but no items
    kRange,  // range(…)
  };
  std::vector<Value> items;
  Kind kind = Kind::kList;
  std::string view;                      // kView, kRange: how Python calls it
  std::vector<std::string> field_names;  // of a tuple whose items have names
  int depth = 1;                         // how deep lists and dictionaries nest in it
  int64_t weight = 1;                    // Value::weight()
  mutable bool used_up = false;          // kOnce
};

class Value {
 public:
  Value() : state_(Undefined{}) {}
  Value(None) : state_(None{}) {}
  Value(bool value) : state_(value) {}
  Value(int64_t value) : state_(value) {}
  Value(int value) : state_(int64_t(value)) {}
  Value(size_t value) : state_(int64_t(value)) {}
  Value(double value) : state_(value) {}
  Value(Text text) : state_(std::make_shared<const Text>(std::move(text))) {}
  Value(std::string text) : Value(Text(std::move(text))) {}
  Value(std::string_view text) : Value(Text(text)) {}
  Value(const char* text) : Value(Text(text)) {}
  Value(std::shared_ptr<const List> list) : state_(std::move(list)) {}
  Value(std::shared_ptr<Dict> dict) : state_(std::move(dict)) {}
  Value(std::shared_ptr<Callable> callable) : state_(std::move(callable)) {}
  static Value undefined(std::string what);
  static Value list(std::vector<Value> items, List::Kind kind = List::Kind::kList);

  bool is_undefined() const { return std::holds_alternative<Undefined>(state_); }
  bool is_none() const { return std::holds_alternative<None>(state_); }
  bool is_bool() const { return std::holds_alternative<bool>(state_); }
  bool is_int() const { return std::holds_alternative<int64_t>(state_); }
  bool is_double() const { return std::holds_alternative<double>(state_); }
  bool is_number() const { return is_int() || is_double() || is_bool(); }  // as in Python, where True is 1
  bool is_whole() const { return is_int() || is_bool(); }
  bool is_text() const { return std::holds_alternative<std::shared_ptr<const Text>>(state_); }
  bool is_list() const { return std::holds_alternative<std::shared_ptr<const List>>(state_); }  // of any kind
  bool is_dict() const { return std::holds_alternative<std::shared_ptr<Dict>>(state_); }
  bool is_callable() const { return std::holds_alternative<std::shared_ptr<Callable>>(state_); }

  // Each only of a value of that kind.
  const std::string& undefined_what() const;
  int64_t whole() const { return is_bool() ? int64_t(std::get<bool>(state_)) : std::get<int64_t>(state_); }
  double number() const { return is_double() ? std::get<double>(state_) : double(whole()); }
  const Text& text() const { return *std::get<std::shared_ptr<const Text>>(state_); }
  const std::string& bytes() const { return text().bytes(); }
  const List& list() const { return *std::get<std::shared_ptr<const List>>(state_); }
  const std::shared_ptr<Dict>& dict() const { return std::get<std::shared_ptr<Dict>>(state_); }
  const std::shared_ptr<Callable>& callable() const { return std::get<std::shared_ptr<Callable>>(state_); }

  bool truth() const;
  int depth() const;  // 0: holds no other values
  // About what it costs to go through all of it, however often it holds the same list: what a template may do is
  // limited by this.
  int64_t weight() const;
  std::string type_name() const;  // Python's, for messages
  // Whether both are one object; of plain values, whether they are equal and of one kind.
  bool same_as(const Value& other) const;

 private:
  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Text>, std::shared_ptr<const List>,
               std::shared_ptr<Dict>, std::shared_ptr<Callable>>
      state_;
};

// In the order in which keys came, as Python's. A namespace is one whose attributes a template may set.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  bool is_namespace = false;
  int depth = 1;
  int64_t weight = 1;

  const Value* find(const Value& key) const;  // null: not there
  const Value* find_name(std::string_view key) const;
  void set(Value key, Value value);
};

// What a call is given.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Callable {
  enum class Kind : uint8_t { kFunction, kMethod, kMacro, kLoop };
  std::string name;
  std::function<Result<Value>(Interpreter&, const Arguments&)> call;
  std::shared_ptr<Dict> attributes;  // what `callable.name` finds; null: nothing
  int depth = 1;                     // with what it holds
  int64_t weight = 1;
  Kind kind = Kind::kFunction;
};

// Python's ==: 1 == 1.0 == True; lists by their items.
bool equal(const Value& a, const Value& b);
// Python's <, ==, > as -1, 0, 1. An error where Python has none: None < 1.
Result<int> compare(const Value& a, const Value& b);
bool is_hashable(const Value& value);

// An error of the template or of what it was given: kUsage.
Status template_error(std::string message);

}  // namespace reform::jinja
