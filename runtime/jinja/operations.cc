#include "runtime/jinja/operations.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/try.h"
#include "runtime/jinja/methods.h"
#include "runtime/jinja/text_functions.h"

namespace reform::jinja {
namespace {

Status too_large() { return template_error("a number does not fit into 64 bits"); }

Status no_operator(const std::string& sign, const Value& left, const Value& right) {
  for (const Value* value : {&left, &right})
    if (value->is_undefined()) return template_error(value->undefined_what());
  return template_error("'" + sign + "' does not go with '" + left.type_name() + "' and '" + right.type_name() + "'");
}

// Python rounds down, and the remainder has the divisor's sign.
Result<Value> divided(const std::string& sign, int64_t a, int64_t b) {
  if (b == 0) return template_error("division by zero");
  if (b == -1) {
    if (sign == "%") return Value(int64_t(0));
    if (a == std::numeric_limits<int64_t>::min()) return too_large();
    return Value(-a);
  }
  const bool down = a % b != 0 && (a < 0) != (b < 0);
  return sign == "//" ? Value(a / b - (down ? 1 : 0)) : Value(a % b + (down ? b : 0));
}

Result<Value> power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return template_error("division by zero");
    return Value(std::pow(double(base), double(exponent)));
  }
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return too_large();
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return too_large();
  }
  return Value(result);
}

Result<Value> whole_arithmetic(const std::string& sign, int64_t a, int64_t b) {
  int64_t result = 0;
  if (sign == "+") return __builtin_add_overflow(a, b, &result) ? Result<Value>(too_large()) : Value(result);
  if (sign == "-") return __builtin_sub_overflow(a, b, &result) ? Result<Value>(too_large()) : Value(result);
  if (sign == "*") return __builtin_mul_overflow(a, b, &result) ? Result<Value>(too_large()) : Value(result);
  if (sign == "**") return power(a, b);
  if (sign != "/") return divided(sign, a, b);
  if (b == 0) return template_error("division by zero");
  return Value(double(a) / double(b));
}

Result<Value> float_arithmetic(const std::string& sign, double a, double b) {
  if (sign == "+") return Value(a + b);
  if (sign == "-") return Value(a - b);
  if (sign == "*") return Value(a * b);
  if (sign == "**") {
    if ((a == 0 && b < 0) || (a < 0 && b != std::floor(b))) return template_error("a power that is no number");
    return Value(std::pow(a, b));
  }
  if (b == 0) return template_error("division by zero");
  if (sign == "/") return Value(a / b);
  if (sign == "//") return Value(std::floor(a / b));
  const double rest = std::fmod(a, b);
  return Value(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
}

bool is_sequence(const Value& value) {
  return value.is_text() || (value.is_list() && value.list().kind <= List::Kind::kTuple);
}

// Repetition n times, n below 1 as 0; the caller has seen to its size (result_bytes()).
Value repeated(const Value& sequence, int64_t n) {
  if (sequence.is_text()) {
    Text text;
    for (int64_t i = 0; i < n; ++i) text.append(sequence.text());
    return Value(std::move(text));
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < n; ++i) items.insert(items.end(), sequence.list().items.begin(), sequence.list().items.end());
  return Value::list(std::move(items), sequence.list().kind);
}

// The index of Python as one from the front; -1: out of range.
int64_t from_front(int64_t index, size_t size) {
  if (index < 0) index += int64_t(size);
  return index < 0 || index >= int64_t(size) ? -1 : index;
}

Value item_at(const Value& object, int64_t index) {
  if (object.is_list()) {
    const int64_t i = from_front(index, object.list().items.size());
    if (i >= 0) return object.list().items[size_t(i)];
  } else {
    const std::vector<size_t> begins = character_begins(object.bytes());
    const int64_t i = from_front(index, begins.size() - 1);
    if (i >= 0) return Value(object.text().part(begins[size_t(i)], begins[size_t(i) + 1]));
  }
  return Value::undefined("a " + object.type_name() + " has no item " + std::to_string(index));
}

bool has_items(const Value& value) {
  return value.is_text() ||
         (value.is_list() && (value.list().kind <= List::Kind::kTuple || value.list().kind == List::Kind::kRange));
}

Result<std::optional<int64_t>> slice_part(const Value& value) {
  if (value.is_none()) return std::optional<int64_t>();
  if (value.is_whole()) return std::optional<int64_t>(value.whole());
  if (value.is_undefined()) return template_error(value.undefined_what());
  return template_error("a slice's parts are whole numbers, not a " + value.type_name());
}

// The positions that a slice takes, as Python's slice.indices().
std::vector<size_t> slice_positions(size_t size, std::optional<int64_t> begin, std::optional<int64_t> end,
                                    int64_t step) {
  const int64_t n = int64_t(size), lowest = step > 0 ? 0 : -1, highest = step > 0 ? n : n - 1;
  const auto bounded = [&](std::optional<int64_t> index, int64_t otherwise) {
    if (!index) return otherwise;
    return *index < 0 ? std::max(*index + n, lowest) : std::min(*index, highest);
  };
  const int64_t from = bounded(begin, step > 0 ? 0 : n - 1), to = bounded(end, step > 0 ? n : -1);
  std::vector<size_t> positions;
  for (int64_t i = from; step > 0 ? i < to : i > to;) {
    positions.push_back(size_t(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return positions;
}

}  // namespace

Result<Value> arithmetic(const std::string& sign, const Value& left, const Value& right) {
  if (left.is_whole() && right.is_whole()) return whole_arithmetic(sign, left.whole(), right.whole());
  if (left.is_number() && right.is_number()) return float_arithmetic(sign, left.number(), right.number());
  if (sign == "*" && is_sequence(left) && right.is_whole()) return repeated(left, right.whole());
  if (sign == "*" && is_sequence(right) && left.is_whole()) return repeated(right, left.whole());
  if (sign == "+" && left.is_text() && right.is_text()) {
    const bool is_markup = left.text().is_markup() || right.text().is_markup();
    const auto part = [&](const Text& text) { return is_markup && !text.is_markup() ? escaped(text) : text; };
    Text text = part(left.text());
    text.append(part(right.text()));
    if (is_markup) text.set_markup();
    return Value(std::move(text));
  }
  if (sign == "+" && is_sequence(left) && is_sequence(right) && left.type_name() == right.type_name()) {
    std::vector<Value> items = left.list().items;
    items.insert(items.end(), right.list().items.begin(), right.list().items.end());
    return Value::list(std::move(items), left.list().kind);
  }
  return no_operator(sign, left, right);
}

int64_t result_bytes(const std::string& sign, const Value& left, const Value& right) {
  if (sign != "*" || left.is_number() == right.is_number()) return 0;
  const Value &sequence = left.is_number() ? right : left, &times = left.is_number() ? left : right;
  if (!is_sequence(sequence) || !times.is_whole() || times.whole() <= 0) return 0;
  const int64_t one = sequence.is_text()
                          ? int64_t(sequence.text().size() + sequence.text().origins().size() * sizeof(Origin))
                          : int64_t(sequence.list().items.size() * sizeof(Value));
  int64_t bytes = 0;
  if (__builtin_mul_overflow(one + 1, times.whole(), &bytes)) return std::numeric_limits<int64_t>::max();
  return bytes;
}

Result<bool> contains(const Value& container, const Value& item) {
  if (container.is_undefined()) return false;
  if (container.is_text()) {
    if (!item.is_text()) return template_error("'in' a string needs a string, not a " + item.type_name());
    return find_part(container.bytes(), item.bytes()) != std::string::npos;
  }
  if (container.is_dict() && !container.dict()->is_namespace) {
    if (!is_hashable(item)) return template_error("a " + item.type_name() + " cannot be a key");
    return container.dict()->find(item) != nullptr;
  }
  if (!container.is_list()) return template_error("'in' does not go with a " + container.type_name());
  if (container.list().used_up) return false;
  const auto& items = container.list().items;
  return std::any_of(items.begin(), items.end(), [&](const Value& other) { return equal(other, item); });
}

Result<Value> attribute_of(const Value& object, const std::string& name) {
  const Value missing = Value::undefined("'" + object.type_name() + "' has no attribute '" + name + "'");
  if (object.is_undefined()) return template_error(object.undefined_what());
  if (name.starts_with("__")) return missing;
  if (object.is_callable()) {
    const Value* value = object.callable()->attributes ? object.callable()->attributes->find_name(name) : nullptr;
    return value ? *value : missing;
  }
  if (object.is_list()) {
    const auto& names = object.list().field_names;
    const auto field = std::find(names.begin(), names.end(), name);
    if (field != names.end()) return object.list().items[size_t(field - names.begin())];
  }
  if (const Method method = find_method(object, name)) {
    if (method == refused) return Value::undefined("a " + object.type_name() + " cannot be changed by a template");
    return bound_method(object, name, method);
  }
  if (object.is_dict())
    if (const Value* value = object.dict()->find_name(name)) return *value;
  return missing;
}

Result<Value> item_of(const Value& object, const Value& key) {
  if (object.is_undefined()) return template_error(object.undefined_what());
  if (object.is_dict() && !object.dict()->is_namespace && is_hashable(key))
    if (const Value* value = object.dict()->find(key)) return *value;
  if (has_items(object) && key.is_whole()) return item_at(object, key.whole());
  if (key.is_text()) return attribute_of(object, key.bytes());
  return Value::undefined("a " + object.type_name() + " has no such item");
}

Result<Value> slice_of(const Value& object, const Value& begin, const Value& end, const Value& step) {
  if (object.is_undefined()) return template_error(object.undefined_what());
  if (!has_items(object)) return template_error("a " + object.type_name() + " has no slices");
  TRY_ASSIGN(const auto from, slice_part(begin));
  TRY_ASSIGN(const auto to, slice_part(end));
  TRY_ASSIGN(const auto by, slice_part(step));
  if (by && *by == 0) return template_error("a slice's step is 0");
  if (object.is_list()) {
    const List& list = object.list();
    std::vector<Value> items;
    for (const size_t i : slice_positions(list.items.size(), from, to, by.value_or(1))) items.push_back(list.items[i]);
    return Value::list(std::move(items), list.kind == List::Kind::kRange ? List::Kind::kList : list.kind);
  }
  const std::vector<size_t> begins = character_begins(object.bytes());
  const std::vector<size_t> positions = slice_positions(begins.size() - 1, from, to, by.value_or(1));
  if (by.value_or(1) == 1 && !positions.empty())
    return Value(object.text().part(begins[positions.front()], begins[positions.back() + 1]));
  Text text;
  for (const size_t i : positions) text.append(object.text(), begins[i], begins[i + 1]);
  return Value(std::move(text));
}

}  // namespace reform::jinja
