// A request's JSON object, field by field. What is not read is refused by name, so that nothing is ignored in silence.
#pragma once

#include <reform/ranges.h>
#include <reform/status.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace reform::tool {

// Of a body's bytes. Not the ordered kind, in which an object of many fields takes time that grows with their square.
using RequestJson = nlohmann::json;
Result<RequestJson> parse_request(const std::string& body);

// A field that is absent or null leaves its value as it is. The first problem stays; check it at the end.
class Fields {
 public:
  // `at`: what its fields' names begin with in messages, such as "messages[2]."; "": a request's own.
  Fields(const RequestJson& object, std::string at) : object_(object), at_(std::move(at)) {}

  const RequestJson* take(const std::string& name);  // nullptr: absent or null

  void read(const std::string& name, std::string& value);
  void read(const std::string& name, bool& value);
  void read(const std::string& name, double& value, Range<double> range);
  void read(const std::string& name, int64_t& value, Range<int64_t> range);
  void read(const std::string& name, std::vector<std::string>& value);  // one text or a list
  // What has no effect here, such as a caller's notes.
  void skip(const std::string& name) { take(name); }
  // What is not supported: one of these values may be given, which ask for nothing.
  void refuse_unless(const std::string& name, const std::vector<RequestJson>& harmless);

  void fail(const std::string& name, const std::string& problem, Code code = Code::kUsage);
  // Of an object within this one, with `param` as the field that is named: its first problem is ours, if it has one.
  bool adopt(Fields& inner, const std::string& param);
  bool ok() const { return status_.ok(); }
  Status finish();  // the first problem, or a field that nobody read
  const std::string& param() const { return param_; }

 private:
  const RequestJson& object_;
  const std::string at_;
  std::set<std::string> read_;
  Status status_;
  std::string param_;
};

}  // namespace reform::tool
