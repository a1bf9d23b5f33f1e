#include "tools/serve/state.h"

#include <fmt/format.h>

#include "tools/serve/header_value.h"
#include "tools/serve/http_error.h"
#include "tools/serve/implicit_context.h"

namespace reform::tool {

void send_json(httplib::Response& response, int http_status, const Json& json) {
  response.status = http_status;
  response.set_content(dump(json) + "\n", "application/json");
}

void send_error(httplib::Response& response, int http_status, const std::string& message, const std::string& code_name,
                const std::string& param) {
  send_json(response, http_status, error_body(http_status, message, code_name, param));
}

void send_error(httplib::Response& response, const Status& status, const std::string& param) {
  send_error(response, http_status(status.code), told(status), code_name(status.code), param);
}

std::shared_ptr<Seats::Seat> take_seat(ServerState& state, httplib::Response& response) {
  auto seat = state.seats.take();
  if (seat == nullptr) {
    response.set_header("Retry-After", std::to_string(state.seats.retry_after_s()));
    send_error(
        response, 429,
        fmt::format("{} answers are being made or waited for, which is the most (--queue)", state.options.n_seats),
        "busy");
  }
  return seat;
}

std::shared_ptr<Seats::Seat> take_upload_place(ServerState& state, httplib::Response& response) {
  auto place = state.uploads.take();
  if (place == nullptr) {
    response.set_header("Retry-After", std::to_string(state.uploads.retry_after_s()));
    send_error(response, 429, fmt::format("{} uploads are being read, which is the most", ServerState::kMostUploads),
               "busy");
  }
  return place;
}

Status check_may_name(const std::string& context) {
  if (!is_implicit_name(context)) return {};
  return {Code::kNotFound, "there is no context '" + context + "'"};
}

bool refuse_form(const httplib::Request& request, httplib::Response& response) {
  // The browser asks first before it sends another type, or a header that is not its own.
  if (header_value(request.get_header_value("Content-Type")).value == "application/json" ||
      request.has_header("X-Reform") || request.has_header("Authorization"))
    return false;
  send_error(response, 403, "this needs the header 'X-Reform: 1', which no page's form can send", "refused");
  return true;
}

namespace {

std::optional<RequestJson> request_json(const httplib::Request& request, httplib::Response& response) {
  // A page of another site may send a form without asking first, but not this type.
  if (header_value(request.get_header_value("Content-Type")).value != "application/json") {
    send_error(response, 415, "the body must be JSON, with 'Content-Type: application/json'", "usage");
    return std::nullopt;
  }
  Result<RequestJson> json = parse_request(request.body);
  if (json.ok()) return std::move(json).value();
  send_error(response, json.status());
  return std::nullopt;
}

}  // namespace

std::optional<SeatedRequest> take_request(ServerState& state, const httplib::Request& request,
                                          httplib::Response& response) {
  auto seat = take_seat(state, response);
  if (seat == nullptr) return std::nullopt;
  auto json = request_json(request, response);
  if (!json) return std::nullopt;
  return SeatedRequest{std::move(seat), std::move(*json)};
}

}  // namespace reform::tool
