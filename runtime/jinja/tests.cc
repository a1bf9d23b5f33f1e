#include "runtime/jinja/tests.h"

#include <algorithm>

#include "base/try.h"
#include "runtime/jinja/bind.h"
#include "runtime/jinja/filters.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/methods.h"
#include "runtime/jinja/operations.h"

namespace reform::jinja {
namespace {

template <bool (*holds)(const Value&)>
Result<bool> of_value(Interpreter&, const Value& input, const Arguments& given) {
  TRY(bind("the test", given, {}));
  return holds(input);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.is_bool(); }
bool is_true(const Value& v) { return v.is_bool() && v.truth(); }
bool is_false(const Value& v) { return v.is_bool() && !v.truth(); }
bool is_integer(const Value& v) { return v.is_int(); }
bool is_float(const Value& v) { return v.is_double(); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_text(); }
bool is_mapping(const Value& v) { return v.is_dict() && !v.dict()->is_namespace; }
bool is_callable(const Value& v) {
  return v.is_callable() || v.is_undefined();
}  // as Jinja's Undefined, whose call fails
bool is_iterable(const Value& v) { return v.is_list() || v.is_text() || is_mapping(v) || v.is_undefined(); }
bool has_length_and_items(const Value& v) {
  const bool list = v.is_list() && v.list().kind != List::Kind::kOnce && v.list().kind != List::Kind::kView;
  return list || v.is_text() || is_mapping(v) || v.is_undefined();
}

template <bool wants_upper>
Result<bool> in_case_only(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(Text text, in.printed(input));
  const Value value(std::move(text));
  TRY_ASSIGN(const Value result, find_method(value, wants_upper ? "isupper" : "islower")(in, value, Arguments()));
  return result.truth();
}

Result<Value> remainder(const Value& input, const Value& divisor) { return arithmetic("%", input, divisor); }

Result<bool> is_even(Interpreter&, const Value& input, const Arguments&) {
  TRY_ASSIGN(const Value rest, remainder(input, Value(2)));
  return equal(rest, Value(0));
}
Result<bool> is_odd(Interpreter&, const Value& input, const Arguments&) {
  TRY_ASSIGN(const Value rest, remainder(input, Value(2)));
  return equal(rest, Value(1));
}
Result<bool> is_divisible_by(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("divisibleby", given, {{"num"}}));
  TRY_ASSIGN(const Value rest, remainder(input, values[0]));
  return equal(rest, Value(0));
}

Result<bool> is_equal(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("the test", given, {{"other"}}));
  return equal(input, values[0]);
}
Result<bool> is_unequal(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("the test", given, {{"other"}}));
  return !equal(input, values[0]);
}
template <bool (*holds)(int)>
Result<bool> is_ordered(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("the test", given, {{"other"}}));
  TRY_ASSIGN(const int order, compare(input, values[0]));
  return holds(order);
}
bool below(int order) { return order < 0; }
bool not_above(int order) { return order <= 0; }
bool above(int order) { return order > 0; }
bool not_below(int order) { return order >= 0; }

Result<bool> is_same_as(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("sameas", given, {{"other"}}));
  return input.same_as(values[0]);
}
Result<bool> is_in(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("in", given, {{"seq"}}));
  return contains(values[0], input);
}
Result<bool> is_filter(Interpreter&, const Value& input, const Arguments&) {
  return input.is_text() && find_filter(input.bytes()) != nullptr;
}
Result<bool> is_test(Interpreter&, const Value& input, const Arguments&) {
  return input.is_text() && find_test(input.bytes()) != nullptr;
}

struct NamedTest {
  std::string_view name;
  Test run;
};
constexpr NamedTest kTests[] = {
    {"!=", is_unequal},
    {"<", is_ordered<below>},
    {"<=", is_ordered<not_above>},
    {"==", is_equal},
    {">", is_ordered<above>},
    {">=", is_ordered<not_below>},
    {"boolean", of_value<is_boolean>},
    {"callable", of_value<is_callable>},
    {"defined", of_value<is_defined>},
    {"divisibleby", is_divisible_by},
    {"eq", is_equal},
    {"equalto", is_equal},
    {"even", is_even},
    {"false", of_value<is_false>},
    {"filter", is_filter},
    {"float", of_value<is_float>},
    {"ge", is_ordered<not_below>},
    {"greaterthan", is_ordered<above>},
    {"gt", is_ordered<above>},
    {"in", is_in},
    {"integer", of_value<is_integer>},
    {"iterable", of_value<is_iterable>},
    {"le", is_ordered<not_above>},
    {"lessthan", is_ordered<below>},
    {"lower", in_case_only<false>},
    {"lt", is_ordered<below>},
    {"mapping", of_value<is_mapping>},
    {"ne", is_unequal},
    {"none", of_value<is_none>},
    {"number", of_value<is_number>},
    {"odd", is_odd},
    {"sameas", is_same_as},
    {"sequence", of_value<has_length_and_items>},
    {"string", of_value<is_string>},
    {"test", is_test},
    {"true", of_value<is_true>},
    {"undefined", of_value<is_undefined>},
    {"upper", in_case_only<true>},
};

}  // namespace

Test find_test(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kTests), std::end(kTests), [&](const NamedTest& test) { return test.name == name; });
  return found == std::end(kTests) ? nullptr : found->run;
}

}  // namespace reform::jinja
