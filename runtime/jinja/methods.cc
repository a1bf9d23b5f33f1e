#include "runtime/jinja/methods.h"

#include <algorithm>

#include "base/try.h"
#include "runtime/jinja/bind.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/operations.h"

namespace reform::jinja {
namespace {

Result<Value> view(Interpreter& in, const Value& self, const char* name, bool keys, bool values) {
  auto list = std::make_shared<List>();
  list->kind = List::Kind::kView;
  list->view = name;
  for (const auto& [key, value] : self.dict()->items) {
    if (keys && values) {
      TRY_ASSIGN(Value pair, in.make_list({key, value}, List::Kind::kTuple));
      list->items.push_back(std::move(pair));
    } else {
      list->items.push_back(keys ? key : value);
    }
    list->depth = std::max(list->depth, list->items.back().depth() + 1);
    list->weight += list->items.back().weight();
  }
  return in.made(Value(std::shared_ptr<const List>(std::move(list))));
}

Result<Value> dict_get(Interpreter&, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("get()", given, {{"key"}, {"default", Value(None{})}}));
  if (!is_hashable(values[0])) return template_error("a " + values[0].type_name() + " cannot be a key");
  const Value* found = self.dict()->find(values[0]);
  return found ? *found : values[1];
}

Result<Value> dict_copy(Interpreter& in, const Value& self, const Arguments&) {
  auto copy = std::make_shared<Dict>(*self.dict());
  return in.made(Value(std::move(copy)));
}

constexpr NamedMethod kDictMethods[] = {
    {"items",
     [](Interpreter& in, const Value& self, const Arguments&) { return view(in, self, "dict_items", true, true); }},
    {"keys",
     [](Interpreter& in, const Value& self, const Arguments&) { return view(in, self, "dict_keys", true, false); }},
    {"values",
     [](Interpreter& in, const Value& self, const Arguments&) { return view(in, self, "dict_values", false, true); }},
    {"get", dict_get},
    {"copy", dict_copy},
    {"clear", refused},
    {"pop", refused},
    {"popitem", refused},
    {"setdefault", refused},
    {"update", refused},
};

Result<Value> list_index(Interpreter&, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("index()", given, {{"value"}}));
  const auto& items = self.list().items;
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const Value& item) { return equal(item, values[0]); });
  if (found == items.end()) return template_error("index(): the value is not in the " + self.type_name());
  return Value(int64_t(found - items.begin()));
}

Result<Value> list_count(Interpreter&, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("count()", given, {{"value"}}));
  const auto& items = self.list().items;
  return Value(
      int64_t(std::count_if(items.begin(), items.end(), [&](const Value& item) { return equal(item, values[0]); })));
}

Result<Value> list_copy(Interpreter& in, const Value& self, const Arguments&) {
  return in.make_list(self.list().items);
}

constexpr NamedMethod kListMethods[] = {
    {"index", list_index}, {"count", list_count}, {"copy", list_copy}, {"append", refused},
    {"clear", refused},    {"extend", refused},   {"insert", refused}, {"pop", refused},
    {"remove", refused},   {"reverse", refused},  {"sort", refused},
};
constexpr NamedMethod kTupleMethods[] = {{"index", list_index}, {"count", list_count}};

Method find_in(std::span<const NamedMethod> methods, std::string_view name) {
  const auto found = std::find_if(methods.begin(), methods.end(), [&](const NamedMethod& m) { return m.name == name; });
  return found == methods.end() ? nullptr : found->run;
}

}  // namespace

Result<Value> refused(Interpreter&, const Value& self, const Arguments&) {
  return template_error("a " + self.type_name() + " cannot be changed by a template");
}

Method find_method(const Value& object, std::string_view name) {
  if (object.is_text()) return find_in(text_methods(), name);
  if (object.is_dict()) return object.dict()->is_namespace ? nullptr : find_in(kDictMethods, name);
  if (!object.is_list()) return nullptr;
  if (object.list().kind == List::Kind::kList) return find_in(kListMethods, name);
  return object.list().kind == List::Kind::kTuple || object.list().kind == List::Kind::kRange
             ? find_in(kTupleMethods, name)
             : nullptr;
}

Value bound_method(const Value& object, std::string_view name, Method method) {
  auto callable = std::make_shared<Callable>();
  callable->kind = Callable::Kind::kMethod;
  callable->name = name;
  callable->depth = object.depth() + 1;
  callable->weight = object.weight();
  callable->call = [object, method](Interpreter& in, const Arguments& given) -> Result<Value> {
    TRY(in.charge(object.weight()));
    TRY_ASSIGN(Value value, method(in, object, given));
    return in.made(std::move(value));
  };
  return Value(std::move(callable));
}

}  // namespace reform::jinja
