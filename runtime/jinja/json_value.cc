#include "runtime/jinja/json_value.h"

#include <nlohmann/json.hpp>

#include "base/parse_json.h"
#include "base/try.h"

namespace reform::jinja {
namespace {

using Json = nlohmann::ordered_json;

Value converted(const Json& json, int32_t source) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return Value(json.get<int64_t>());
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value(Text(json.get<std::string>(), source));
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) items.push_back(converted(item, source));
      return Value::list(std::move(items));
    }
    case Json::value_t::object: {
      auto dict = std::make_shared<Dict>();
      for (const auto& [key, value] : json.items()) dict->set(Value(Text(key, source)), converted(value, source));
      return Value(std::move(dict));
    }
    default:
      return Value(None{});
  }
}

}  // namespace

Result<Value> value_of_json(std::string_view text, int32_t source) {
  bool too_deep = false, too_large = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    too_deep = too_deep || depth > kMaxJsonDepth - 4;
    too_large = too_large || (event == Json::parse_event_t::value && value.is_number_unsigned() &&
                              value.get<uint64_t>() > INT64_MAX);
    return !too_deep;
  };
  const Json json = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (too_deep) return template_error("the JSON nests too deep");
  if (json.is_discarded()) return template_error("this is no JSON");
  if (too_large) return template_error("a number in the JSON does not fit into 64 bits");
  return converted(json, source);
}

}  // namespace reform::jinja
