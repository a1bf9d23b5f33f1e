#include "tools/serve/job_response.h"

#include <chrono>
#include <utility>
#include <variant>

#include "tools/serve/http_error.h"
#include "tools/serve/state.h"

namespace reform::tool {
namespace {

using namespace std::chrono_literals;

constexpr auto kPoll = 250ms;        // how soon a client that went away is noticed
constexpr auto kFirstWait = 1500ms;  // an error within it has an HTTP status of its own, also in a stream
constexpr auto kKeepAlive = 5s;      // the longest silence of a stream

// A stream, and what must live as long: its place in the queue goes last.
struct Streaming {
  const std::shared_ptr<Seats::Seat> seat;
  std::string text;  // to be written before what comes next
  Job job;
  std::chrono::steady_clock::time_point last_write = std::chrono::steady_clock::now();

  Streaming(std::shared_ptr<Seats::Seat> taken, Job::Run run, std::string opening)
      : seat(std::move(taken)), text(std::move(opening)), job(std::move(run), seat->cancel) {}
};

// Nobody but the server's end stops a job whose client is still there.
Status shown(Status status) {
  if (status.code != Code::kCancelled) return status;
  return {Code::kCancelled, "the server is shutting down; send the request again once it is back"};
}

std::string text_of(const JobEvent& event) {
  if (const auto* told = std::get_if<std::string>(&event)) return *told;
  const auto& result = std::get<Result<std::string>>(event);
  return result.ok() ? result.value() : sse(error_body(shown(result.status())));
}

// Writes what came next. False: the client is gone.
bool stream_next(Streaming& streaming, httplib::DataSink& sink) {
  std::string text = std::exchange(streaming.text, "");
  auto event = streaming.job.next(kPoll);
  // The server is about to close all connections: say why.
  while (!event && streaming.seat->cancel.cancelled()) event = streaming.job.next(kPoll);
  const auto now = std::chrono::steady_clock::now();
  if (event) text += text_of(*event);
  if (text.empty() && now - streaming.last_write > kKeepAlive) text = ": waiting\n\n";
  if (text.empty()) return sink.is_writable();
  streaming.last_write = now;
  if (!sink.write(text.data(), text.size())) return false;
  if (event && std::holds_alternative<Result<std::string>>(*event)) sink.done();
  return true;
}

}  // namespace

std::string sse(const Json& json) { return "data: " + dump(json) + "\n\n"; }

void send_whole(Seats::Seat& seat, Job::Run run, httplib::Response& response) {
  Job job(std::move(run), seat.cancel);
  for (;;) {
    auto event = job.next(kPoll);
    if (client_is_gone()) return;  // the job is stopped where it is taken apart
    if (!event || !std::holds_alternative<Result<std::string>>(*event)) continue;
    const auto& result = std::get<Result<std::string>>(*event);
    if (!result.ok()) return send_error(response, shown(result.status()));
    response.status = 200;
    return response.set_content(result.value(), "application/json");
  }
}

void send_stream(std::shared_ptr<Seats::Seat> seat, Job::Run run, std::string opening, httplib::Response& response) {
  const auto streaming = std::make_shared<Streaming>(std::move(seat), std::move(run), std::move(opening));
  streaming->job.wait(kFirstWait);
  if (const Status failed = streaming->job.failed(); !failed.ok()) return send_error(response, shown(failed));
  response.set_header("Cache-Control", "no-cache");
  response.set_header("X-Accel-Buffering", "no");  // a proxy passes each piece on
  response.set_chunked_content_provider(
      "text/event-stream", [streaming](size_t, httplib::DataSink& sink) { return stream_next(*streaming, sink); });
}

}  // namespace reform::tool
