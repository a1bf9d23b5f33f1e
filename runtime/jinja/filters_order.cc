// The filters that compare items with each other.
#include <algorithm>

#include "base/try.h"
#include "runtime/jinja/bind.h"
#include "runtime/jinja/filters.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/item_key.h"

namespace reform::jinja {
namespace {

struct Keyed {
  Value key, item;
};

Result<std::vector<Keyed>> keyed_items(Interpreter& in, const Value& input, const ItemKey& key) {
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(input));
  std::vector<Keyed> result;
  for (const Value& item : items) {
    TRY(in.charge(1));
    TRY_ASSIGN(Value k, key.of(item));
    result.push_back({std::move(k), item});
  }
  return result;
}

// Sorted by key; equal ones stay in their order. An error if two of them have no order.
Status sort_items(Interpreter& in, std::vector<Keyed>& items, bool reverse) {
  Status status;
  int64_t compared = 0;
  const auto before = [&](const Keyed& a, const Keyed& b) {
    compared += a.key.weight() + b.key.weight();
    const auto order = compare(a.key, b.key);
    if (!order.ok()) status = order.status();
    return order.ok() && (reverse ? order.value() > 0 : order.value() < 0);
  };
  std::stable_sort(items.begin(), items.end(), before);
  TRY(status);
  return in.charge(compared);
}

Value only_items(std::vector<Keyed> keyed, List::Kind kind = List::Kind::kList) {
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (Keyed& one : keyed) items.push_back(std::move(one.item));
  return Value::list(std::move(items), kind);
}

Result<Value> sort(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(
      const auto values,
      bind("sort", given, {{"reverse", Value(false)}, {"case_sensitive", Value(false)}, {"attribute", Value(None{})}}));
  TRY_ASSIGN(const ItemKey key, ItemKey::make_several(values[2], !values[1].truth()));
  TRY_ASSIGN(std::vector<Keyed> items, keyed_items(in, input, key));
  TRY(sort_items(in, items, values[0].truth()));
  return only_items(std::move(items));
}

Result<Value> dictsort(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(
      const auto values,
      bind("dictsort", given, {{"case_sensitive", Value(false)}, {"by", Value("key")}, {"reverse", Value(false)}}));
  TRY_ASSIGN(const Text by, string_of("dictsort", values[1]));
  if (by.bytes() != "key" && by.bytes() != "value") return template_error("dictsort sorts by key or by value");
  if (!input.is_dict() || input.dict()->is_namespace)
    return template_error("dictsort needs a dictionary, not a " + input.type_name());
  TRY_ASSIGN(const ItemKey key, ItemKey::make(Value(by.bytes() == "key" ? 0 : 1), !values[0].truth()));
  std::vector<Value> pairs;
  for (const auto& [k, v] : input.dict()->items) {
    TRY_ASSIGN(Value pair, in.make_list({k, v}, List::Kind::kTuple));
    pairs.push_back(std::move(pair));
  }
  TRY_ASSIGN(const Value list, in.make_list(std::move(pairs)));
  TRY_ASSIGN(std::vector<Keyed> items, keyed_items(in, list, key));
  TRY(sort_items(in, items, values[2].truth()));
  return only_items(std::move(items));
}

template <bool largest>
Result<Value> extreme(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values,
             bind(largest ? "max" : "min", given, {{"case_sensitive", Value(false)}, {"attribute", Value(None{})}}));
  TRY_ASSIGN(const ItemKey key, ItemKey::make(values[1], !values[0].truth()));
  TRY_ASSIGN(const std::vector<Keyed> items, keyed_items(in, input, key));
  if (items.empty()) return Value::undefined("there is no such item, the sequence is empty");
  const Keyed* best = &items[0];
  for (const Keyed& item : items) {
    TRY_ASSIGN(const int order, compare(item.key, best->key));
    if (largest ? order > 0 : order < 0) best = &item;
  }
  return best->item;
}

Result<Value> unique(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values,
             bind("unique", given, {{"case_sensitive", Value(false)}, {"attribute", Value(None{})}}));
  TRY_ASSIGN(const ItemKey key, ItemKey::make(values[1], !values[0].truth()));
  TRY_ASSIGN(std::vector<Keyed> items, keyed_items(in, input, key));
  std::vector<Keyed> kept;
  for (Keyed& item : items) {
    TRY(in.charge(int64_t(kept.size()) * item.key.weight()));
    if (!is_hashable(item.key)) return template_error("unique does not go with a " + item.key.type_name());
    const bool is_new =
        std::none_of(kept.begin(), kept.end(), [&](const Keyed& other) { return equal(other.key, item.key); });
    if (is_new) kept.push_back(std::move(item));
  }
  return only_items(std::move(kept), List::Kind::kOnce);
}

// A list of (grouper, list), in the groupers' order.
Result<Value> groupby(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values,
             bind("groupby", given, {{"attribute"}, {"default", Value(None{})}, {"case_sensitive", Value(false)}}));
  TRY_ASSIGN(const ItemKey key, ItemKey::make(values[0], !values[2].truth(), values[1]));
  TRY_ASSIGN(const ItemKey shown, ItemKey::make(values[0], false, values[1]));
  TRY_ASSIGN(std::vector<Keyed> items, keyed_items(in, input, key));
  TRY(sort_items(in, items, false));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    std::vector<Value> group;
    size_t end = begin;
    for (; end < items.size() && equal(items[end].key, items[begin].key); ++end) group.push_back(items[end].item);
    TRY_ASSIGN(Value grouper, shown.of(items[begin].item));
    TRY_ASSIGN(Value list, in.make_list(std::move(group)));
    auto pair = std::make_shared<List>();
    pair->kind = List::Kind::kTuple;
    pair->depth = list.depth() + 1;
    pair->weight = list.weight() + 2;
    pair->items = {std::move(grouper), std::move(list)};
    pair->field_names = {"grouper", "list"};
    groups.emplace_back(std::shared_ptr<const List>(std::move(pair)));
    begin = end;
  }
  return Value::list(std::move(groups));
}

constexpr NamedFilter kOrderFilters[] = {
    {"dictsort", dictsort},  {"groupby", groupby}, {"max", extreme<true>},
    {"min", extreme<false>}, {"sort", sort},       {"unique", unique},
};

}  // namespace

std::span<const NamedFilter> order_filters() { return kOrderFilters; }

}  // namespace reform::jinja
