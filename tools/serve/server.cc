#include "tools/serve/server.h"

#include <fmt/format.h>
#include <reform/exception_status.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <regex>
#include <thread>
#include <utility>
#include <vector>

#include "tools/serve/connection.h"
#include "tools/serve/http_error.h"
#include "tools/serve/state.h"
#include "tools/text.h"

namespace reform::tool {
namespace {

constexpr int64_t kMostBodyBytes = int64_t{16} << 20, kMostHeadBytes = int64_t{64} << 10;
constexpr size_t kMostPathBytes = 1024;
constexpr int kOtherConnections = 64;  // beside those that wait for an answer
constexpr int kBacklog = 512;
constexpr std::chrono::milliseconds kEndPoll{20};
constexpr int kMostEndPolls = 250;

enum class Body {
  kNone,
  kJson,    // the library reads it
  kUpload,  // the route reads it, as body_source() gives it
};

struct Endpoint {
  std::string_view method;
  const char* path;  // a regex; the first that fits counts
  Route* route;
  Body body = Body::kNone;
};

constexpr Endpoint kEndpoints[] = {
    {"GET", "/health", health},
    {"GET", "/ready", ready},
    {"GET", "/metrics", metrics},
    {"GET", "/openapi\\.json", openapi},
    {"GET", "/v1/models", list_models},
    {"GET", "/v1/models/(.+)", show_model},
    {"POST", "/v1/chat/completions", chat_completion, Body::kJson},
    {"POST", "/v1/completions", completion, Body::kJson},
    {"GET", "/contexts", list_contexts},
    {"GET", "/contexts/([^/]+)/export", export_archive},
    {"POST", "/contexts/([^/]+)/import", import_archive, Body::kUpload},
    {"POST", "/contexts/([^/]+)/verify", verify_context},
    {"PUT", "/contexts/([^/]+)/pin", pin_context},
    {"DELETE", "/contexts/([^/]+)/pin", unpin_context},
    {"PUT", "/contexts/([^/]+)", ingest_context, Body::kUpload},
    {"POST", "/contexts/([^/]+)", ingest_context, Body::kUpload},
    {"DELETE", "/contexts/([^/]+)", remove_context},
    {"GET", "/contexts/([^/]+)", show_context},
    {"POST", "/tokenize", tokenize_text, Body::kJson},
    {"POST", "/ask", ask_contexts, Body::kJson},
    {"POST", "/search", search_contexts, Body::kJson},
};

const Endpoint* find_endpoint(const httplib::Request& request) {
  if (request.path.size() > kMostPathBytes) return nullptr;
  static const std::vector<std::regex> forms = [] {
    std::vector<std::regex> all;
    for (const Endpoint& e : kEndpoints) all.emplace_back(e.path);
    return all;
  }();
  for (size_t i = 0; i < std::size(kEndpoints); ++i)
    if (kEndpoints[i].method == request.method && std::regex_match(request.path, forms[i])) return &kEndpoints[i];
  return nullptr;
}

// The endpoint's path as people write it: "/contexts/{name}".
std::string form_of(const httplib::Request& request) {
  static const std::vector<std::string> all = [] {
    const std::regex group(R"(\(.*?\))"), dot(R"(\\\.)");
    std::vector<std::string> forms;
    for (const Endpoint& e : kEndpoints)
      forms.push_back(std::regex_replace(std::regex_replace(e.path, group, "{name}"), dot, "."));
    return forms;
  }();
  const Endpoint* endpoint = find_endpoint(request);
  return endpoint == nullptr ? "other" : all[size_t(endpoint - std::begin(kEndpoints))];
}

// kUsage: it says none, or what is no number.
Result<int64_t> content_length(const httplib::Request& request) {
  const std::string length = request.get_header_value("Content-Length");
  int64_t n = 0;
  const auto end = std::from_chars(length.data(), length.data() + length.size(), n);
  if (length.empty() || end.ptr != length.data() + length.size() || n < 0)
    return Status{Code::kUsage, "Content-Length is no number"};
  if (end.ec == std::errc::result_out_of_range) return std::numeric_limits<int64_t>::max();
  return n;
}

thread_local Connection* t_connection = nullptr;  // that this thread serves

class HttpServer : public httplib::Server {
 public:
  // The library lets five connections wait; the rest would try again after a second.
  void let_more_wait() { ::listen(svr_sock_, kBacklog); }

 private:
  // The library's own connections take headers of any length, and serve what follows a request that was refused.
  bool process_and_close_socket(socket_t socket) override {
    Connection connection(socket, {.head_bytes = kMostHeadBytes});
    t_connection = &connection;
    bool done = false, is_closed = true;
    try {
      done = process_request(connection, /*close_connection=*/true, is_closed, nullptr);
    } catch (...) {  // what a stream or the log throws; there is nobody to tell but the client, whose connection ends
    }
    t_connection = nullptr;
    return done;
  }
};

// What the library itself refuses, with a body as our own errors have.
void explain(const httplib::Request& request, httplib::Response& response) {
  if (!response.body.empty() || response.status == 416) return;
  if (response.status == 404) {
    std::string methods;
    for (const Endpoint& e : kEndpoints) {
      if (std::regex_match(request.path, std::regex(e.path)) && methods.find(e.method) == methods.npos)
        methods += (methods.empty() ? "" : ", ") + std::string(e.method);
    }
    if (methods.empty())
      return send_error(response, 404, "there is no such path here; docs/SERVE.md lists them", "not_found");
    response.set_header("Allow", methods);
    return send_error(response, 405, fmt::format("this path takes {} only", methods), "usage");
  }
  send_error(response, response.status, "the request is not understood", response.status < 500 ? "usage" : "internal");
}

Status cannot_listen(const ServerOptions& options, int error) {
  const std::string where = fmt::format("{}:{}", options.host, options.port);
  if (error == EADDRINUSE) return {Code::kBusy, where + ": another program listens there; --port N takes another port"};
  return {Code::kIo,
          fmt::format("cannot listen on {}: {}", where, error == 0 ? "no such address" : std::strerror(error))};
}

}  // namespace

struct Server::Impl {
  ServerState state;
  HttpServer http;
  int port = 0;

  Impl(Engine& engine, Store& store, ServerOptions options) : state(engine, store, std::move(options)) {}

  httplib::Server::HandlerResponse admit(const httplib::Request& request, httplib::Response& response) {
    using Response = httplib::Server::HandlerResponse;
    const Caller caller = {request.get_header_value("Host"), request.get_header_value("Origin"),
                           request.get_header_value("Authorization")};
    if (const auto refused = refusal(state.options.access, caller); refused) {
      if (refused->http_status == 401) response.set_header("WWW-Authenticate", "Bearer");
      send_error(response, refused->http_status, refused->message, "refused");
      return Response::Handled;
    }
    if (request.has_header("Range")) {  // the library would cut whatever body is set here
      response.status = 416;
      return Response::Handled;
    }
    if (const auto refused = refused_form(request); refused) {
      send_error(response, refused->http_status, refused->message, "usage");
      return Response::Handled;
    }
    return Response::Unhandled;
  }

  // What the library would take without a limit, or answer in part.
  std::optional<Refusal> refused_form(const httplib::Request& request) const {
    for (const char* header : {"Host", "Origin", "Authorization", "Content-Length", "Content-Type"}) {
      if (request.get_header_value_count(header) > 1) return Refusal{400, fmt::format("{} is given twice", header)};
    }
    if (request.has_header("Content-Encoding")) return Refusal{415, "compressed bodies are not taken"};
    if (request.path.size() > kMostPathBytes) return Refusal{414, "the path is too long"};
    const Endpoint* endpoint = find_endpoint(request);
    const Body body = endpoint == nullptr ? Body::kNone : endpoint->body;
    const bool has_length = request.has_header("Content-Length");
    if (request.has_header("Transfer-Encoding") || (body != Body::kNone && !has_length))
      return Refusal{411, "the body's length must be said: Content-Length"};
    const auto length = has_length ? content_length(request) : int64_t{0};
    if (!length.ok()) return Refusal{400, length.status().message};
    const int64_t most = body == Body::kUpload ? state.options.max_upload_bytes : kMostBodyBytes;
    if (length.value() <= most) return std::nullopt;
    return Refusal{413, fmt::format("the body has over {} bytes, which is the most{}", most,
                                    body == Body::kUpload ? " (--max-upload)" : "")};
  }

  static void expect_body(const httplib::Request& request) {
    const Endpoint* endpoint = find_endpoint(request);
    const auto length = content_length(request);
    if (t_connection == nullptr || !length.ok()) return;
    t_connection->expect_body(length.value(), endpoint != nullptr && endpoint->body == Body::kUpload);
  }

  void add_routes() {
    for (const Endpoint& e : kEndpoints) {
      const auto handler = [this, route = e.route](const httplib::Request& request, httplib::Response& response) {
        route(state, request, response);
      };
      // The library reads the body of a request whose handler has no reader, until the connection ends if it must.
      const auto unread = [handler](const httplib::Request& request, httplib::Response& response,
                                    const httplib::ContentReader&) { handler(request, response); };
      if (e.method == "GET") http.Get(e.path, handler);
      if (e.method == "PUT") http.Put(e.path, unread);
      if (e.method == "DELETE") http.Delete(e.path, unread);
      if (e.method == "POST") e.body == Body::kJson ? http.Post(e.path, handler) : http.Post(e.path, unread);
    }
  }

  void set_up() {
    http.new_task_queue = [this] {
      return std::make_unique<httplib::ThreadPool>(size_t(state.options.n_seats + kOtherConnections)).release();
    };
    http.set_payload_max_length(size_t(kMostBodyBytes));
    http.set_tcp_nodelay(true);
    http.set_pre_routing_handler([this](const auto& request, auto& response) {
      expect_body(request);
      return admit(request, response);
    });
    // A client that asks before it sends a large body is told here.
    http.set_expect_100_continue_handler([this](const httplib::Request& request, httplib::Response& response) {
      return admit(request, response) == httplib::Server::HandlerResponse::Handled ? response.status : 100;
    });
    http.set_error_handler(
        [](const httplib::Request& request, httplib::Response& response) { explain(request, response); });
    http.set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, const std::exception_ptr& thrown) {
          try {
            std::rethrow_exception(thrown);
          } catch (...) {
            send_error(response, exception_status());
          }
        });
    http.set_logger([this](const httplib::Request& request, const httplib::Response& response) {
      state.metrics.count_request(form_of(request), response.status);
      state.options.log(fmt::format("{} {} {}", request.method, quote(request.path, 100), response.status));
    });
    add_routes();
  }
};

ArchiveSource body_source(const Seats::Seat& place) {
  return [connection = t_connection, &place](char* bytes, size_t size) {
    return connection->read_body(bytes, size, place.cancel);
  };
}

bool client_is_gone() { return t_connection != nullptr && t_connection->client_is_gone(); }

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::bind(Engine& engine, Store& store, ServerOptions options) {
  auto impl = std::make_unique<Impl>(engine, store, std::move(options));
  const ServerOptions& o = impl->state.options;
  errno = 0;
  impl->port = o.port == 0 ? impl->http.bind_to_any_port(o.host) : o.port;
  const bool is_bound = o.port == 0 ? impl->port > 0 : impl->http.bind_to_port(o.host, o.port);
  if (!is_bound) return cannot_listen(o, errno);
  impl->http.let_more_wait();
  impl->set_up();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

int Server::port() const { return impl_->port; }

Status Server::run() {
  if (impl_->http.listen_after_bind() || impl_->state.seats.is_stopped()) return {};
  return {Code::kIo, "the system lets the server accept no more connections (ulimit -n?)"};
}

void Server::stop() {
  ServerState& state = impl_->state;
  state.uploads.stop_all();
  state.seats.stop_all();
  const auto is_busy = [&] { return state.seats.n_taken() + state.uploads.n_taken() > 0; };
  for (int i = 0; i < kMostEndPolls && is_busy(); ++i) std::this_thread::sleep_for(kEndPoll);
  impl_->http.stop();
  std::this_thread::sleep_for(kEndPoll);
}

}  // namespace reform::tool
