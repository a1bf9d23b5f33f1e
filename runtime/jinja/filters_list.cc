// The filters that choose from lists and cut them.
#include <algorithm>

#include "base/try.h"
#include "runtime/jinja/bind.h"
#include "runtime/jinja/filters.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/item_key.h"
#include "runtime/jinja/methods.h"
#include "runtime/jinja/operations.h"
#include "runtime/jinja/text_functions.h"

namespace reform::jinja {
namespace {

Result<Value> first(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
  return items.empty() ? Value::undefined("there is no first item, the sequence is empty") : items.front();
}

Result<Value> last(Interpreter& in, const Value& input, const Arguments&) {
  if (input.is_list() && input.list().kind == List::Kind::kOnce)
    return template_error("last needs a sequence, not a generator");
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
  return items.empty() ? Value::undefined("there is no last item, the sequence is empty") : items.back();
}

Result<Value> to_list(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(std::vector<Value> items, in.items_of(input));
  return Value::list(std::move(items));
}

Result<Value> dict_items(Interpreter& in, const Value& input, const Arguments&) {
  if (input.is_undefined()) return Value::list({}, List::Kind::kOnce);
  if (!input.is_dict() || input.dict()->is_namespace)
    return template_error("items needs a dictionary, not a " + input.type_name());
  TRY_ASSIGN(const Value view, find_method(input, "items")(in, input, {}));
  return Value::list(view.list().items, List::Kind::kOnce);
}

Result<Value> reverse(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(std::vector<Value> items, in.items_of(input));
  std::reverse(items.begin(), items.end());
  if (!input.is_text()) {
    const bool once = !input.is_list() || input.list().kind != List::Kind::kOnce;
    return Value::list(std::move(items), once ? List::Kind::kOnce : List::Kind::kList);
  }
  Text text;
  for (const Value& item : items) text.append(item.text());
  return Value(std::move(text));
}

Result<Value> join(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("join", given, {{"d", Value("")}, {"attribute", Value(None{})}}));
  TRY_ASSIGN(const ItemKey key, ItemKey::make(values[1], false));
  TRY_ASSIGN(const Text between, in.printed(values[0]));
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
  std::vector<Text> parts;
  for (const Value& item : items) {
    TRY_ASSIGN(const Value value, key.of(item));
    TRY_ASSIGN(Text text, in.printed(value));
    TRY(in.charge_bytes(int64_t(text.size() + between.size())));
    parts.push_back(std::move(text));
  }
  return Value(joined(parts, between));
}

// map(attribute="…", default=…), or map("filter", its arguments…).
Result<Value> map(Interpreter& in, const Value& input, const Arguments& given) {
  std::vector<Value> results;
  if (given.positional.empty()) {
    TRY_ASSIGN(const auto values, bind("map", given, {{"attribute"}, {"default", Value(None{})}}));
    TRY_ASSIGN(const ItemKey key, ItemKey::make(values[0], false, values[1]));
    if (!input.truth()) return Value::list({}, List::Kind::kOnce);
    TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
    for (const Value& item : items) {
      TRY(in.charge(1));
      TRY_ASSIGN(Value value, key.of(item));
      results.push_back(std::move(value));
    }
    return Value::list(std::move(results), List::Kind::kOnce);
  }
  if (!input.truth()) return Value::list({}, List::Kind::kOnce);
  TRY_ASSIGN(const Text name, string_of("map", given.positional[0]));
  const Arguments rest{{given.positional.begin() + 1, given.positional.end()}, given.named};
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
  for (const Value& item : items) {
    TRY_ASSIGN(Value value, in.filtered(name.bytes(), item, rest));
    results.push_back(std::move(value));
  }
  return Value::list(std::move(results), List::Kind::kOnce);
}

// The items of which the test holds, or does not. by_attribute: of the attribute that the first argument names.
template <bool wanted, bool by_attribute>
Result<Value> select(Interpreter& in, const Value& input, const Arguments& given) {
  if (!input.truth()) return Value::list({}, List::Kind::kOnce);
  size_t next = 0;
  Value attribute((None()));
  if (by_attribute) {
    if (given.positional.empty()) return template_error("selectattr needs an attribute");
    attribute = given.positional[next++];
  }
  TRY_ASSIGN(const ItemKey key, ItemKey::make(attribute, false));
  std::string test;
  if (next < given.positional.size()) {
    TRY_ASSIGN(const Text name, string_of("select", given.positional[next++]));
    test = name.bytes();
  }
  const Arguments rest{{given.positional.begin() + long(next), given.positional.end()}, given.named};
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
  std::vector<Value> chosen;
  for (const Value& item : items) {
    TRY(in.charge(1));
    TRY_ASSIGN(const Value value, key.of(item));
    bool holds = value.truth();
    if (!test.empty()) {
      TRY_ASSIGN(holds, in.tested(test, value, rest));
    }
    if (holds == wanted) chosen.push_back(item);
  }
  return Value::list(std::move(chosen), List::Kind::kOnce);
}

Result<int64_t> positive(const char* what, const Value& value) {
  TRY_ASSIGN(const int64_t number, whole_number(what, value));
  if (number < 1) return template_error(std::string(what) + " needs a number above 0");
  return number;
}

Result<Value> batch(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("batch", given, {{"linecount"}, {"fill_with", Value(None{})}}));
  TRY_ASSIGN(const int64_t size, positive("batch", values[0]));
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
  std::vector<Value> batches, batch;
  for (size_t i = 0; i < items.size(); ++i) {
    batch.push_back(items[i]);
    if (int64_t(batch.size()) < size && i + 1 < items.size()) continue;
    if (!values[1].is_none()) {
      TRY(in.charge(size));
      batch.resize(size_t(size), values[1]);
    }
    TRY_ASSIGN(Value list, in.make_list(std::move(batch)));
    batches.push_back(std::move(list));
    batch.clear();
  }
  return Value::list(std::move(batches), List::Kind::kOnce);
}

Result<Value> slices(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("slice", given, {{"slices"}, {"fill_with", Value(None{})}}));
  TRY_ASSIGN(const int64_t n, positive("slice", values[0]));
  TRY(in.charge(n));
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
  const int64_t each = int64_t(items.size()) / n, larger = int64_t(items.size()) % n;
  std::vector<Value> result;
  auto begin = items.begin();
  for (int64_t i = 0; i < n; ++i) {
    const auto end = begin + long(each + (i < larger ? 1 : 0));
    std::vector<Value> slice(begin, end);
    if (!values[1].is_none() && i >= larger) slice.push_back(values[1]);
    TRY_ASSIGN(Value list, in.make_list(std::move(slice)));
    result.push_back(std::move(list));
    begin = end;
  }
  return Value::list(std::move(result), List::Kind::kOnce);
}

Result<Value> sum(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("sum", given, {{"attribute", Value(None{})}, {"start", Value(0)}}));
  TRY_ASSIGN(const ItemKey key, ItemKey::make(values[0], false));
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
  Value total = values[1];
  if (total.is_text()) return template_error("sum does not add strings; join does");
  for (const Value& item : items) {
    TRY_ASSIGN(const Value value, key.of(item));
    TRY_ASSIGN(total, arithmetic("+", total, value));
    TRY_ASSIGN(total, in.made(std::move(total)));
  }
  return total;
}

constexpr NamedFilter kListFilters[] = {
    {"batch", batch},
    {"first", without_arguments<first>},
    {"items", without_arguments<dict_items>},
    {"join", join},
    {"last", without_arguments<last>},
    {"list", without_arguments<to_list>},
    {"map", map},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"reverse", without_arguments<reverse>},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
    {"slice", slices},
    {"sum", sum},
};

}  // namespace

std::span<const NamedFilter> list_filters() { return kListFilters; }

}  // namespace reform::jinja
