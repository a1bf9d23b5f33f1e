#include "tools/serve/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/text.h"

namespace reform::tool {
namespace {

constexpr int kMostDepth = 64;

std::string shown(const RequestJson& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  return quote(value.dump(-1, ' ', false, RequestJson::error_handler_t::replace), 40);
}

// A parser's own callback would look at all siblings again after each object.
int depth_of(const std::string& body) {
  int depth = 0, deepest = 0;
  bool in_text = false;
  for (size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (in_text && c == '\\') ++i;
    if (c == '"') in_text = !in_text;
    if (in_text) continue;
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if (c == ']' || c == '}') --depth;
  }
  return deepest;
}

}  // namespace

Result<RequestJson> parse_request(const std::string& body) {
  if (depth_of(body) > kMostDepth)
    return Status{Code::kUsage, fmt::format("the body's JSON is nested deeper than {}", kMostDepth)};
  RequestJson json;
  try {
    json = RequestJson::parse(body);
  } catch (const RequestJson::exception& error) {  // it says where, which parsing without exceptions does not
    return Status{Code::kUsage, "the body is no JSON: " + quote(error.what(), 200)};
  }
  if (!json.is_object()) return Status{Code::kUsage, "the body is no JSON object"};
  return json;
}

const RequestJson* Fields::take(const std::string& name) {
  read_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::fail(const std::string& name, const std::string& problem, Code code) {
  if (!status_.ok()) return;
  param_ = at_ + name;
  status_ = {code, fmt::format("{}: {}", param_, problem)};
}

void Fields::read(const std::string& name, std::string& value) {
  const RequestJson* json = take(name);
  if (json == nullptr) return;
  if (!json->is_string()) return fail(name, fmt::format("is {}; expected a text", shown(*json)));
  value = json->get<std::string>();
}

void Fields::read(const std::string& name, bool& value) {
  const RequestJson* json = take(name);
  if (json == nullptr) return;
  if (!json->is_boolean()) return fail(name, fmt::format("is {}; expected true or false", shown(*json)));
  value = json->get<bool>();
}

void Fields::read(const std::string& name, double& value, Range<double> range) {
  const RequestJson* json = take(name);
  if (json == nullptr) return;
  if (!json->is_number() || !range.holds(json->get<double>()))
    return fail(name, fmt::format("is {}; expected a number from {} to {}", shown(*json), range.least, range.most));
  value = json->get<double>();
}

void Fields::read(const std::string& name, int64_t& value, Range<int64_t> range) {
  const RequestJson* json = take(name);
  if (json == nullptr) return;
  // A client may write 64.0 for 64.
  const double number = json->is_number() ? json->get<double>() : NAN;
  const bool is_whole = json->is_number_integer() || (std::floor(number) == number && std::fabs(number) < 9e15);
  const bool is_large = json->is_number_unsigned() && json->get<uint64_t>() > uint64_t(INT64_MAX);
  const int64_t whole =
      is_whole && !is_large ? (json->is_number_integer() ? json->get<int64_t>() : int64_t(number)) : 0;
  if (!is_whole || is_large || !range.holds(whole))
    return fail(name,
                fmt::format("is {}; expected a whole number from {} to {}", shown(*json), range.least, range.most));
  value = whole;
}

void Fields::read(const std::string& name, std::vector<std::string>& value) {
  const RequestJson* json = take(name);
  if (json == nullptr) return;
  if (json->is_string()) {
    value = {json->get<std::string>()};
    return;
  }
  const bool is_list = json->is_array() && std::ranges::all_of(*json, [](const auto& v) { return v.is_string(); });
  if (!is_list) return fail(name, "expected a text or a list of texts");
  value = json->get<std::vector<std::string>>();
}

void Fields::refuse_unless(const std::string& name, const std::vector<RequestJson>& harmless) {
  const RequestJson* json = take(name);
  if (json == nullptr || std::ranges::find(harmless, *json) != harmless.end()) return;
  fail(name, "is not supported by this server");
}

bool Fields::adopt(Fields& inner, const std::string& param) {
  const Status status = inner.finish();
  if (status.ok() || !status_.ok()) return status.ok();
  status_ = status;
  param_ = param;
  return false;
}

Status Fields::finish() {
  for (const auto& [name, value] : object_.items()) {
    if (read_.contains(name) || value.is_null()) continue;
    fail(quote(name, 60), "is not supported by this server");
  }
  return status_;
}

}  // namespace reform::tool
