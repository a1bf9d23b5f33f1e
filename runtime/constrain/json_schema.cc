#include "runtime/constrain/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "base/try.h"
#include "runtime/constrain/json_rules.h"

namespace reform {
namespace {

using Json = nlohmann::ordered_json;  // properties are written in the schema's order

constexpr int64_t kMostSchemaBytes = 256 << 10, kMostRepeats = 1000, kMostDepth = 64;
constexpr size_t kMostRules = 100'000;

// They say something to people, and nothing about what fits.
const std::set<std::string> kNotes = {"title",    "description", "default",  "examples",  "$schema", "$id",
                                      "$comment", "deprecated",  "readOnly", "writeOnly", "$defs",   "definitions"};

Status refused(const std::string& where, const std::string& problem) {
  return {Code::kUsage, fmt::format("the JSON schema at {}: {}", where.empty() ? "its root" : where, problem)};
}

// Whether its numbers are those that were written: larger whole ones were rounded when they were read.
bool is_exact(const Json& value) {
  constexpr double kMostWhole = 9007199254740992.0;  // 2^53
  if (value.is_structured()) return std::ranges::all_of(value, is_exact);
  return !value.is_number_float() || std::abs(value.get<double>()) < kMostWhole;
}

// The bytes that a URI's fragment stands for (RFC 3986).
std::string unescaped(std::string_view fragment) {
  std::string text;
  for (size_t i = 0; i < fragment.size(); ++i) {
    unsigned byte = 0;
    const char* const hex = fragment.data() + i + 1;
    const bool is_escape =
        fragment[i] == '%' && i + 2 < fragment.size() && std::from_chars(hex, hex + 2, byte, 16).ptr == hex + 2;
    text += is_escape ? char(byte) : fragment[i];
    i += is_escape ? 2 : 0;
  }
  return text;
}

bool is_of_type(const Json& value, const Json& type) {
  if (type.is_array()) return std::ranges::any_of(type, [&](const Json& one) { return is_of_type(value, one); });
  return (type == "string" && value.is_string()) || (type == "number" && value.is_number()) ||
         (type == "integer" && value.is_number_integer()) || (type == "boolean" && value.is_boolean()) ||
         (type == "null" && value.is_null()) || (type == "array" && value.is_array()) ||
         (type == "object" && value.is_object());
}

// One schema's keywords; what nobody took is refused.
class Keywords {
 public:
  Keywords(const Json& schema, std::string where) : schema_(schema), where_(std::move(where)) {}

  const Json* take(const std::string& name) {
    taken_.insert(name);
    const auto found = schema_.find(name);
    return found == schema_.end() ? nullptr : &*found;
  }
  Result<int64_t> take_count(const std::string& name, int64_t otherwise) {
    const Json* value = take(name);
    if (value == nullptr) return otherwise;
    if (!value->is_number_integer() || *value < 0 || *value > kMostRepeats)
      return refused(where_, fmt::format("{}: expected a number from 0 to {}", name, kMostRepeats));
    return value->get<int64_t>();
  }
  Status finish() const {
    for (const auto& [name, value] : schema_.items()) {
      if (!taken_.contains(name) && !kNotes.contains(name))
        return refused(where_, fmt::format("'{}' is not supported here", name));
    }
    return {};
  }

 private:
  const Json& schema_;
  const std::string where_;
  std::set<std::string> taken_;
};

class Compiler {
 public:
  explicit Compiler(const Json& root) : root_(root), json_(grammar_) {}

  Result<Grammar> run() {
    TRY_ASSIGN(const Grammar::Element root, any(root_, "", 0));
    grammar_.root = grammar_.add_rule({{root}}).index;
    if (!grammar_.can_end()) return refused("", "no value that fits has an end");
    return std::move(grammar_);
  }

 private:
  using Element = Grammar::Element;
  using Sequence = Grammar::Sequence;

  Result<Element> any(const Json& schema, const std::string& where, int64_t depth);
  Result<Element> reference(const Json& target, const std::string& where, int64_t depth);
  Result<Element> one_of(const Json& list, const std::string& where, int64_t depth);
  Result<Element> literals(const Json& list, const Json* type, const std::string& where);
  Result<Element> typed(const Json& type, Keywords& words, const std::string& where, int64_t depth);
  Result<Element> string(Keywords& words, const std::string& where);
  Result<Element> array(Keywords& words, const std::string& where, int64_t depth);
  Result<Element> object(Keywords& words, const std::string& where, int64_t depth);

  struct Member {
    Sequence text;  // name, colon, value
    bool is_required = false;
  };
  Result<std::vector<Member>> members(const Json* properties, const Json* required, const std::string& where,
                                      int64_t depth);
  Element members_from(const std::vector<Member>& members, const Element* others);

  const Json& root_;
  Grammar grammar_;
  const JsonRules json_;
  std::map<std::string, Element> references_;
};

Result<Grammar::Element> Compiler::any(const Json& schema, const std::string& where, int64_t depth) {
  if (depth > kMostDepth) return refused(where, fmt::format("it is nested deeper than {}", kMostDepth));
  if (grammar_.rules.size() > kMostRules) return refused(where, "the schema is too large");
  if (schema.is_boolean() && schema == true) return json_.value;
  if (!schema.is_object()) return refused(where, "expected an object");
  Keywords words(schema, where);
  Result<Element> element = json_.value;
  if (const Json* target = words.take("$ref"); target != nullptr) {
    element = reference(*target, where, depth);
  } else if (const Json* fixed = words.take("const"); fixed != nullptr) {
    element = literals(Json::array({*fixed}), words.take("type"), where);
  } else if (const Json* list = words.take("enum"); list != nullptr) {
    element = literals(*list, words.take("type"), where);
  } else if (const Json* choices = words.take("anyOf"); choices != nullptr) {
    element = one_of(*choices, where + "/anyOf", depth);
  } else if (const Json* all = words.take("allOf"); all != nullptr) {
    if (!all->is_array() || all->size() != 1) return refused(where, "allOf is supported with one schema only");
    element = any((*all)[0], where + "/allOf/0", depth + 1);
  } else if (const Json* type = words.take("type"); type != nullptr) {
    element = typed(*type, words, where, depth);
  } else if (schema.contains("properties")) {
    element = object(words, where, depth);
  } else if (schema.contains("items")) {
    element = array(words, where, depth);
  }
  TRY(element);
  TRY(words.finish());
  return element;
}

Result<Grammar::Element> Compiler::reference(const Json& target, const std::string& where, int64_t depth) {
  if (!target.is_string() || !target.get<std::string>().starts_with('#'))
    return refused(where, "$ref is supported within the schema only, as in \"#/$defs/name\"");
  const std::string path = unescaped(target.get<std::string>().substr(1));
  if (const auto known = references_.find(path); known != references_.end()) return known->second;
  const Json* schema = nullptr;
  try {
    schema = &root_.at(Json::json_pointer(path));
  } catch (const Json::exception&) {
    return refused(where, fmt::format("$ref \"#{}\" leads nowhere", path));
  }
  const Element element = references_.emplace(path, grammar_.add_rule()).first->second;
  TRY_ASSIGN(const Element target_element, any(*schema, path, depth + 1));
  grammar_.rule(element) = {{target_element}};
  return element;
}

Result<Grammar::Element> Compiler::one_of(const Json& list, const std::string& where, int64_t depth) {
  if (!list.is_array() || list.empty()) return refused(where, "expected a list of schemas");
  Grammar::Rule rule;
  for (size_t i = 0; i < list.size(); ++i) {
    TRY_ASSIGN(const Element element, any(list[i], fmt::format("{}/{}", where, i), depth + 1));
    rule.push_back({element});
  }
  return grammar_.add_rule(std::move(rule));
}

Result<Grammar::Element> Compiler::literals(const Json& list, const Json* type, const std::string& where) {
  if (!list.is_array() || list.empty()) return refused(where, "enum: expected a list of values");
  Grammar::Rule rule;
  for (const Json& value : list) {
    if (!is_exact(value)) return refused(where, "a number of the enum has too many digits to be kept");
    if (type == nullptr || is_of_type(value, *type)) rule.push_back(grammar_.text(value.dump()));
  }
  if (rule.empty()) return refused(where, "none of the values is of the type");
  return grammar_.add_rule(std::move(rule));
}

Result<Grammar::Element> Compiler::typed(const Json& type, Keywords& words, const std::string& where, int64_t depth) {
  if (type.is_array() && !type.empty()) {
    Grammar::Rule rule;
    for (const Json& one : type) {
      if (!one.is_string()) return refused(where, "type: expected names");
      TRY_ASSIGN(const Element element, typed(one, words, where, depth));
      rule.push_back({element});
    }
    return grammar_.add_rule(std::move(rule));
  }
  if (type == "string") return string(words, where);
  if (type == "array") return array(words, where, depth);
  if (type == "object") return object(words, where, depth);
  if (type == "number") return json_.number;
  if (type == "integer") return json_.integer;
  if (type == "boolean") return json_.boolean;
  if (type == "null") return json_.null;
  return refused(where, "type: expected string, number, integer, boolean, null, array, object, or a list of these");
}

Result<Grammar::Element> Compiler::string(Keywords& words, const std::string& where) {
  TRY_ASSIGN(const int64_t least, words.take_count("minLength", 0));
  TRY_ASSIGN(const int64_t most, words.take_count("maxLength", -1));
  if (most >= 0 && most < least) return refused(where, "maxLength is below minLength");
  if (least == 0 && most < 0) return json_.string;
  return json_.string_of(least, most);
}

Result<Grammar::Element> Compiler::array(Keywords& words, const std::string& where, int64_t depth) {
  TRY_ASSIGN(const int64_t least, words.take_count("minItems", 0));
  TRY_ASSIGN(const int64_t most, words.take_count("maxItems", -1));
  const Json* items = words.take("items");
  if (most >= 0 && most < least) return refused(where, "maxItems is below minItems");
  if (items == nullptr && least == 0 && most < 0) return json_.array;
  Element item = json_.value;
  if (items != nullptr) {
    TRY_ASSIGN(item, any(*items, where + "/items", depth + 1));
  }
  Grammar::Rule rule;
  if (least == 0) rule.push_back(json_.empty("[]"));
  if (most != 0) {
    const Element next = grammar_.add_rule({json_.comma() + Sequence{item}});
    const Element more = grammar_.repeated(next, std::max<int64_t>(least - 1, 0), most < 0 ? -1 : most - 1);
    rule.push_back(json_.opening('[') + Sequence{item, more} + json_.closing(']'));
  }
  return grammar_.add_rule(std::move(rule));
}

Result<std::vector<Compiler::Member>> Compiler::members(const Json* properties, const Json* required,
                                                        const std::string& where, int64_t depth) {
  std::set<std::string> missing;
  if (required != nullptr) {
    if (!required->is_array()) return refused(where, "required: expected a list of names");
    for (const Json& name : *required) {
      if (!name.is_string()) return refused(where, "required: expected a list of names");
      missing.insert(name.get<std::string>());
    }
  }
  std::vector<Member> all;
  const Json none = Json::object();
  if (properties == nullptr) properties = &none;
  if (!properties->is_object()) return refused(where, "properties: expected an object");
  for (const auto& [name, schema] : properties->items()) {
    TRY_ASSIGN(const Element value, any(schema, where + "/properties/" + name, depth + 1));
    all.push_back({grammar_.text(Json(name).dump()) + json_.colon() + Sequence{value}, missing.erase(name) > 0});
  }
  if (!missing.empty())
    return refused(where, fmt::format("required: '{}' is none of the properties", *missing.begin()));
  return all;
}

// What may stand in an object that is not empty: from each member on, with and without one before it.
Grammar::Element Compiler::members_from(const std::vector<Member>& members, const Element* others) {
  Grammar::Rule end = {{}}, end_of_none;  // without any, nothing is one member at least
  if (others != nullptr) {
    const Element more = grammar_.add_rule({json_.comma() + Sequence{*others}});
    end = {{grammar_.repeated(more, 0, -1)}};
    end_of_none = {{*others, grammar_.repeated(more, 0, -1)}};
  }
  Element behind_some = grammar_.add_rule(std::move(end)), behind_none = grammar_.add_rule(std::move(end_of_none));
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    Grammar::Rule some = {json_.comma() + member->text + Sequence{behind_some}};
    Grammar::Rule none = {member->text + Sequence{behind_some}};
    if (!member->is_required) some.push_back({behind_some}), none.push_back({behind_none});
    behind_some = grammar_.add_rule(std::move(some));
    behind_none = grammar_.add_rule(std::move(none));
  }
  return behind_none;
}

Result<Grammar::Element> Compiler::object(Keywords& words, const std::string& where, int64_t depth) {
  const Json* properties = words.take("properties");
  const Json* required = words.take("required");
  const Json* others = words.take("additionalProperties");
  if (properties == nullptr && required == nullptr && others == nullptr) return json_.object;
  TRY_ASSIGN(const std::vector<Member> own, members(properties, required, where, depth));
  // Beside named ones, others may fit and need not be there; leaving them out is what people mean.
  const bool has_others = own.empty() && others != nullptr && *others != false;
  Element other;
  if (has_others) {
    TRY_ASSIGN(const Element value, any(*others, where + "/additionalProperties", depth + 1));
    other = grammar_.add_rule({Sequence{json_.string} + json_.colon() + Sequence{value}});
  }
  const Element some = members_from(own, has_others ? &other : nullptr);
  Grammar::Rule rule = {json_.opening('{') + Sequence{some} + json_.closing('}')};
  if (std::ranges::none_of(own, &Member::is_required)) rule.push_back(json_.empty("{}"));
  return grammar_.add_rule(std::move(rule));
}

}  // namespace

Result<std::shared_ptr<const Grammar>> grammar_of_schema(const std::string& schema) {
  if (int64_t(schema.size()) > kMostSchemaBytes)
    return refused("", fmt::format("it has over {} bytes", kMostSchemaBytes));
  const Json json = Json::parse(schema, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return refused("", "it is no JSON");
  TRY_ASSIGN(Grammar grammar, Compiler(json).run());
  return std::make_shared<const Grammar>(std::move(grammar));
}

}  // namespace reform
