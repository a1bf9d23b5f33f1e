#include "runtime/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "base/try.h"

namespace reform::jinja {

Status template_error(std::string message) { return {Code::kUsage, std::move(message)}; }

Value Value::undefined(std::string what) {
  Value value;
  value.state_ = Undefined{std::make_shared<const std::string>(std::move(what))};
  return value;
}

Value Value::list(std::vector<Value> items, List::Kind kind) {
  auto list = std::make_shared<List>();
  for (const Value& item : items) {
    list->depth = std::max(list->depth, item.depth() + 1);
    list->weight += item.weight();
  }
  list->items = std::move(items);
  list->kind = kind;
  return Value(std::shared_ptr<const List>(std::move(list)));
}

const std::string& Value::undefined_what() const {
  static const std::string unnamed = "a value is undefined";
  const auto& what = std::get<Undefined>(state_).what;
  return what ? *what : unnamed;
}

bool Value::truth() const {
  if (is_bool() || is_int()) return whole() != 0;
  if (is_double()) return std::get<double>(state_) != 0;
  if (is_text()) return !text().empty();
  if (is_list()) return list().kind == List::Kind::kOnce || !list().items.empty();
  if (is_dict()) return dict()->is_namespace || !dict()->items.empty();
  return is_callable();
}

int Value::depth() const {
  return is_list() ? list().depth : is_dict() ? dict()->depth : is_callable() ? callable()->depth : 0;
}

int64_t Value::weight() const {
  if (is_list()) return list().weight;
  if (is_dict()) return dict()->weight;
  if (is_callable()) return callable()->weight;
  return is_text() ? 1 + int64_t(text().size() / 64) : 1;
}

std::string Value::type_name() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (is_bool()) return "bool";
  if (is_int()) return "int";
  if (is_double()) return "float";
  if (is_text()) return "str";
  if (is_dict()) return dict()->is_namespace ? "Namespace" : "dict";
  if (is_callable()) return "function";
  switch (list().kind) {
    case List::Kind::kList:
      return "list";
    case List::Kind::kTuple:
      return "tuple";
    case List::Kind::kOnce:
      return "generator";
    default:
      return list().view;
  }
}

bool Value::same_as(const Value& other) const {
  if (state_.index() != other.state_.index()) return false;
  if (is_list()) return &list() == &other.list();
  if (is_dict()) return dict() == other.dict();
  if (is_callable()) return callable() == other.callable();
  // Python keeps one object for what the source spells the same, and none for what was read.
  if (is_text() && (!text().origins().empty() || !other.text().origins().empty())) return &text() == &other.text();
  return is_undefined() || equal(*this, other);
}

const Value* Dict::find(const Value& key) const {
  for (const auto& [k, v] : items)
    if (equal(k, key)) return &v;
  return nullptr;
}

const Value* Dict::find_name(std::string_view key) const {
  for (const auto& [k, v] : items)
    if (k.is_text() && k.bytes() == key) return &v;
  return nullptr;
}

void Dict::set(Value key, Value value) {
  // A namespace is compared, printed and taken apart by itself, so what it holds adds nothing to what holds it.
  if (!is_namespace) {
    depth = std::max({depth, value.depth() + 1, key.depth() + 1});
    weight += key.weight() + value.weight();
  }
  for (auto& [k, v] : items)
    if (equal(k, key)) {
      v = std::move(value);
      return;
    }
  items.emplace_back(std::move(key), std::move(value));
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number())
    return a.is_whole() && b.is_whole() ? a.whole() == b.whole() : a.number() == b.number();
  if (a.is_text() && b.is_text()) return a.bytes() == b.bytes();
  if (a.is_list() && b.is_list()) {
    const List &x = a.list(), &y = b.list();
    if (x.kind == List::Kind::kOnce || y.kind == List::Kind::kOnce) return &x == &y;
    return x.kind == y.kind && std::equal(x.items.begin(), x.items.end(), y.items.begin(), y.items.end(), equal);
  }
  if (a.is_dict() && b.is_dict()) {
    if (a.dict() == b.dict()) return true;
    if (a.dict()->is_namespace || b.dict()->is_namespace || a.dict()->items.size() != b.dict()->items.size())
      return false;
    return std::all_of(a.dict()->items.begin(), a.dict()->items.end(), [&](const auto& item) {
      const Value* other = b.dict()->find(item.first);
      return other && equal(item.second, *other);
    });
  }
  if (a.is_callable() && b.is_callable()) return a.callable() == b.callable();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

Result<int> compare(const Value& a, const Value& b) {
  const auto order = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.is_whole() && b.is_whole()) return order(a.whole(), b.whole());
  if (a.is_number() && b.is_number()) {
    if (std::isnan(a.number()) || std::isnan(b.number())) return template_error("a number that is none is compared");
    return order(a.number(), b.number());
  }
  if (a.is_text() && b.is_text()) return order(a.bytes(), b.bytes());  // UTF-8 sorts as its code points do
  const bool lists =
      a.is_list() && b.is_list() && a.list().kind == b.list().kind && a.list().kind <= List::Kind::kTuple;
  if (!lists) {
    const Value& undefined = a.is_undefined() ? a : b;
    if (undefined.is_undefined()) return template_error(undefined.undefined_what());
    return template_error("'<' is not supported between '" + a.type_name() + "' and '" + b.type_name() + "'");
  }
  const auto &x = a.list().items, &y = b.list().items;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    if (!equal(x[i], y[i])) return compare(x[i], y[i]);
  return order(x.size(), y.size());
}

bool is_hashable(const Value& value) {
  if (value.is_dict()) return value.dict()->is_namespace;
  if (!value.is_list()) return true;
  if (value.list().kind == List::Kind::kList) return false;
  return value.list().kind != List::Kind::kTuple ||
         std::all_of(value.list().items.begin(), value.list().items.end(), is_hashable);
}

}  // namespace reform::jinja
