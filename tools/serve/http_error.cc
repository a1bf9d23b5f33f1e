#include "tools/serve/http_error.h"

#include <string>

namespace reform::tool {
namespace {

// OpenAI's names of what their clients tell apart.
const char* type_of(int http_status) {
  switch (http_status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return http_status < 500 ? "invalid_request_error" : "server_error";
  }
}

}  // namespace

int http_status(Code code) {
  switch (code) {
    case Code::kOk:
      return 200;
    case Code::kUsage:
    case Code::kBadText:
    case Code::kWrongModel:
    case Code::kUnavailable:
      return 400;
    case Code::kNotFound:
      return 404;
    case Code::kExists:
    case Code::kBusy:
      return 409;
    case Code::kMemoryCap:
    case Code::kCancelled:
      return 503;
    case Code::kNoSpace:
      return 507;
    case Code::kInternal:
    case Code::kBadModel:
    case Code::kCorrupt:
    case Code::kIo:
      return 500;
  }
  return 500;
}

Json error_body(int http_status, const std::string& message, const std::string& code_name, const std::string& param) {
  return {{"error",
           {{"message", message},
            {"type", type_of(http_status)},
            {"param", param.empty() ? Json() : Json(param)},
            {"code", code_name}}}};
}

// The store names its folder and all of its contexts, which are nobody's to read here.
std::string told(const Status& status) {
  const size_t end = status.message.find("\" in ");
  if (status.code != Code::kNotFound || end == std::string::npos) return status.message;
  return status.message.substr(0, end + 1) + "; GET /contexts lists what there is";
}

Json error_body(const Status& status) {
  return error_body(http_status(status.code), told(status), code_name(status.code));
}

}  // namespace reform::tool
