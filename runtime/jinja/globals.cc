#include "runtime/jinja/globals.h"

#include <algorithm>

#include "base/try.h"
#include "runtime/jinja/bind.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/operations.h"

namespace reform::jinja {
namespace {

template <class Function>
Value function(const char* name, Function call) {
  auto callable = std::make_shared<Callable>();
  callable->name = name;
  callable->call = std::move(call);
  return Value(std::move(callable));
}

Result<Value> range(Interpreter& in, const Arguments& given) {
  constexpr int64_t kMostItems = 100'000;  // as Jinja's sandbox
  TRY_ASSIGN(const auto values, bind("range()", given, {{"start"}, {"stop", Value(None{})}, {"step", Value(1)}}));
  TRY_ASSIGN(int64_t begin, whole_number("range()", values[0]));
  TRY_ASSIGN(const int64_t step, whole_number("range()", values[2]));
  int64_t end = begin;
  if (values[1].is_none()) {
    begin = 0;
  } else {
    TRY_ASSIGN(end, whole_number("range()", values[1]));
  }
  if (step == 0) return template_error("range() by steps of 0");
  auto list = std::make_shared<List>();
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (int64_t(list->items.size()) >= kMostItems) return template_error("range() of more than 100000 numbers");
    list->items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  list->kind = List::Kind::kRange;
  list->depth = 2;
  list->weight = int64_t(list->items.size()) + 1;
  list->view = "range(" + std::to_string(begin) + ", " + std::to_string(end) +
               (step == 1 ? "" : ", " + std::to_string(step)) + ")";
  return in.made(Value(std::shared_ptr<const List>(std::move(list))));
}

// Pairs, or a dictionary, and then the arguments with names.
Status fill(Interpreter& in, const Arguments& given, Dict& dict) {
  if (given.positional.size() > 1) return template_error("dict() takes one argument without a name at most");
  if (!given.positional.empty()) {
    const Value& source = given.positional[0];
    if (source.is_dict() && !source.dict()->is_namespace) {
      TRY(in.charge(int64_t(source.dict()->items.size() * source.dict()->items.size())));
      for (const auto& [key, value] : source.dict()->items) dict.set(key, value);
    } else {
      TRY_ASSIGN(const std::vector<Value> pairs, in.items_of(source));
      for (const Value& pair : pairs) {
        TRY_ASSIGN(const std::vector<Value> parts, in.items_of(pair));
        if (parts.size() != 2 || !is_hashable(parts[0]))
          return template_error("dict() needs pairs of a key and a value");
        TRY(in.charge(int64_t(dict.items.size())));
        dict.set(parts[0], parts[1]);
      }
    }
  }
  TRY(in.charge(int64_t(given.named.size() * given.named.size())));
  for (const auto& [name, value] : given.named) dict.set(Value(name), value);
  return {};
}

Result<Value> make_dict(Interpreter& in, const Arguments& given) {
  auto dict = std::make_shared<Dict>();
  TRY(fill(in, given, *dict));
  return in.made(Value(std::move(dict)));
}

Result<Value> make_namespace(Interpreter& in, const Arguments& given) {
  TRY_ASSIGN(const auto dict, in.make_namespace());
  TRY(fill(in, given, *dict));
  return Value(dict);
}

Result<Value> make_cycler(Interpreter& in, const Arguments& given) {
  if (given.positional.empty()) return template_error("cycler() needs values");
  auto cycler = std::make_shared<Callable>();
  cycler->name = "cycler";
  for (const Value& value : given.positional) cycler->depth = std::max(cycler->depth, value.depth() + 1);
  TRY_ASSIGN(cycler->attributes, in.make_namespace());
  // The cycler owns its methods, so they hold its attributes by a weak_ptr.
  const std::weak_ptr<Dict> attributes = cycler->attributes;
  const auto pos = std::make_shared<size_t>(0);
  const auto move_to = [attributes, pos, values = given.positional](size_t i) {
    *pos = i % values.size();
    if (const auto dict = attributes.lock()) dict->set(Value("current"), values[*pos]);
    return values[*pos];
  };
  move_to(0);
  cycler->attributes->set(
      Value("next"),
      function("next", [move_to, pos, values = given.positional](Interpreter&, const Arguments&) -> Result<Value> {
        Value now = values[*pos];
        move_to(*pos + 1);
        return now;
      }));
  cycler->attributes->set(Value("reset"), function("reset", [move_to](Interpreter&, const Arguments&) -> Result<Value> {
                            move_to(0);
                            return Value(None{});
                          }));
  return Value(std::move(cycler));
}

Result<Value> make_joiner(Interpreter&, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("joiner()", given, {{"sep", Value(", ")}}));
  auto joiner = std::make_shared<Callable>();
  joiner->name = "joiner";
  joiner->depth = values[0].depth() + 1;
  joiner->call = [separator = values[0], used = std::make_shared<bool>(false)](Interpreter&,
                                                                               const Arguments&) -> Result<Value> {
    return std::exchange(*used, true) ? separator : Value("");
  };
  return Value(std::move(joiner));
}

Result<Value> raise_exception(Interpreter& in, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("raise_exception()", given, {{"message"}}));
  TRY_ASSIGN(const Text message, in.printed(values[0]));
  return template_error(message.bytes());
}

// A format of strftime() without what a time without a zone has not: %f, %z and %Z.
std::string without_zone(const std::string& format) {
  std::string result;
  for (size_t i = 0; i < format.size(); ++i) {
    const char next = format[i] == '%' && i + 1 < format.size() ? format[i + 1] : '\0';
    if (next == 'f') result += "000000";
    if (next == 'f' || next == 'z' || next == 'Z') {
      ++i;
      continue;
    }
    result += format[i];
    if (next) result += format[++i];
  }
  return result;
}

}  // namespace

Variables global_variables() {
  return {{"range", function("range", range)},
          {"dict", function("dict", make_dict)},
          {"namespace", function("namespace", make_namespace)},
          {"cycler", function("cycler", make_cycler)},
          {"joiner", function("joiner", make_joiner)},
          {"raise_exception", function("raise_exception", raise_exception)}};
}

Value strftime_now(const std::tm& now) {
  return function("strftime_now", [now](Interpreter& in, const Arguments& given) -> Result<Value> {
    TRY_ASSIGN(const auto values, bind("strftime_now()", given, {{"format"}}));
    TRY_ASSIGN(const Text format, string_of("strftime_now()", values[0]));
    TRY(in.charge(int64_t(format.size())));
    const std::string wanted = without_zone(format.bytes());
    if (wanted.empty()) return Value("");
    std::string text(wanted.size() * 64 + 64, '\0');
    const size_t n = wanted.size() > 1000 ? 0 : std::strftime(text.data(), text.size(), wanted.c_str(), &now);
    if (n == 0) return template_error("strftime_now(): the format is empty, too long, or gives nothing");
    text.resize(n);
    Text result;
    result.append_made_from(text, format, 0, format.size());
    return Value(std::move(result));
  });
}

}  // namespace reform::jinja
