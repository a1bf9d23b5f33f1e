// What filters such as sort, map and groupby take from each item: the item, or an attribute of it.
#pragma once

#include <reform/status.h>

#include <string>
#include <vector>

#include "runtime/jinja/value.h"

namespace reform::jinja {

class ItemKey {
 public:
  // attribute: None for the item itself, a name, names with dots between them, or a whole number. ignore_case: of
  // strings.
  static Result<ItemKey> make(const Value& attribute, bool ignore_case, const Value& otherwise = Value(None{}));
  // The same for a list of them with commas between, whose keys are lists.
  static Result<ItemKey> make_several(const Value& attributes, bool ignore_case);

  Result<Value> of(const Value& item) const;

 private:
  std::vector<std::vector<Value>> paths_;
  bool ignore_case_ = false, is_list_ = false;
  Value otherwise_ = Value(None{});
};

}  // namespace reform::jinja
