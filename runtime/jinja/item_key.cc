#include "runtime/jinja/item_key.h"

#include <algorithm>

#include "base/try.h"
#include "runtime/jinja/literals.h"
#include "runtime/jinja/operations.h"
#include "runtime/jinja/text_functions.h"

namespace reform::jinja {
namespace {

Result<std::vector<Value>> path_of(const Value& attribute) {
  if (attribute.is_none()) return std::vector<Value>();
  if (attribute.is_whole()) return std::vector<Value>{attribute};
  if (!attribute.is_text()) return template_error("an attribute is a name, not a " + attribute.type_name());
  std::vector<Value> path;
  constexpr int64_t kMostDots = 20;
  for (const Text& part : split_at(attribute.text(), ".", kMostDots, false)) {
    const std::string& name = part.bytes();
    const bool is_index = !name.empty() && name.find_first_not_of("0123456789") == name.npos;
    if (!is_index) {
      path.emplace_back(part);
      continue;
    }
    TRY_ASSIGN(const int64_t index, integer_value(name));
    path.emplace_back(index);
  }
  return path;
}

}  // namespace

Result<ItemKey> ItemKey::make(const Value& attribute, bool ignore_case, const Value& otherwise) {
  ItemKey key;
  TRY_ASSIGN(std::vector<Value> path, path_of(attribute));
  key.paths_.push_back(std::move(path));
  key.ignore_case_ = ignore_case;
  key.otherwise_ = otherwise;
  return key;
}

Result<ItemKey> ItemKey::make_several(const Value& attributes, bool ignore_case) {
  ItemKey key;
  key.ignore_case_ = ignore_case;
  key.is_list_ = true;
  std::vector<Value> parts = {attributes};
  if (attributes.is_text()) {
    parts.clear();
    for (const Text& part : split_at(attributes.text(), ",", -1, false)) parts.emplace_back(part);
  }
  constexpr size_t kMostAttributes = 20;
  if (parts.size() > kMostAttributes) return template_error("more attributes than a filter takes");
  for (const Value& part : parts) {
    TRY_ASSIGN(std::vector<Value> path, path_of(part));
    key.paths_.push_back(std::move(path));
  }
  return key;
}

Result<Value> ItemKey::of(const Value& item) const {
  std::vector<Value> keys;
  for (const auto& path : paths_) {
    Value value = item;
    for (const Value& part : path) {
      TRY_ASSIGN(value, item_of(value, part));
      if (value.is_undefined() && !otherwise_.is_none()) value = otherwise_;
    }
    if (ignore_case_ && value.is_text()) value = Value(cased(value.text(), Case::kLower));
    keys.push_back(std::move(value));
  }
  return is_list_ ? Value::list(std::move(keys)) : keys[0];
}

}  // namespace reform::jinja
