// Routes that change one context: texts that a client sends, pins, checks, the removal.
#include <fmt/format.h>
#include <reform/verify.h>

#include <chrono>
#include <thread>
#include <utility>

#include "tools/serve/implicit_context.h"
#include "tools/serve/ingest_upload.h"
#include "tools/serve/job_response.h"
#include "tools/serve/state.h"
#include "tools/serve/upload.h"

namespace reform::tool {
namespace {

constexpr std::chrono::milliseconds kSeatPoll{100};

// A client that has sent all of its texts is not told to send them again later.
std::shared_ptr<Seats::Seat> wait_for_seat(ServerState& state, const CancelToken& cancel) {
  for (;;) {
    if (auto seat = state.seats.take(); seat != nullptr) return seat;
    if (cancel.cancelled() || client_is_gone()) return nullptr;
    std::this_thread::sleep_for(kSeatPoll);
  }
}

void send_ingest(ServerState& state, const std::string& name, std::shared_ptr<Seats::Seat> place, Upload taken,
                 httplib::Response& response) {
  auto seat = wait_for_seat(state, place->cancel);
  if (seat == nullptr)
    return send_error(response, Status{Code::kCancelled, "the server is shutting down; nothing was read"});
  const bool streams = taken.request.streams;
  // The place goes last, with the upload, which lies on the disk until it is read.
  const auto upload = std::make_shared<const Upload>(std::move(taken));
  Job::Run run = [&state, name, place = std::move(place), upload](const Job::Tell& tell, const CancelToken& cancel) {
    return ingest_upload(state, name, *upload, tell, cancel);
  };
  if (!streams) return send_whole(*seat, std::move(run), response);
  send_stream(std::move(seat), std::move(run), "", response);
}

using Change = Status (*)(Store& store, const std::string& name);

void change(ServerState& state, const httplib::Request& request, httplib::Response& response, const char* verb,
            const char* done, Change make) {
  const std::string name = request.matches[1];
  Status status = check_may_name(name);
  if (status.ok()) status = make(state.store, name);
  if (!status.ok()) return send_error(response, status);
  send_json(response, 200, with_header(verb, names_fields(state.store.dir(), done, {name})));
}

}  // namespace

void ingest_context(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  const std::string name = request.matches[1];
  if (const Status s = check_may_name(name); !s.ok()) return send_error(response, s);
  const std::string type = request.get_header_value("Content-Type");
  const auto form = upload_form(type);
  if (!form.ok()) return send_error(response, 415, form.status().message, "usage");
  if (refuse_form(request, response)) return;
  const int64_t n_bytes = std::stoll(request.get_header_value("Content-Length"));
  if (form.value() == UploadForm::kJson && n_bytes > kMostJsonBytes)
    return send_error(response, 413,
                      fmt::format("JSON has at most {} bytes here; send texts as they are, as text/plain or "
                                  "multipart/form-data",
                                  kMostJsonBytes),
                      "usage");
  auto place = take_upload_place(state, response);
  if (place == nullptr) return;
  auto spool = Spool::create(state.store.dir(), n_bytes);
  if (!spool.ok()) return send_error(response, spool.status());
  std::string param;
  auto upload = take_upload(form.value(), type, request.params, body_source(*place), std::move(spool).value(), param);
  if (!upload.ok()) return send_error(response, upload.status(), param);
  if (request.get_header_value("Accept").find("text/event-stream") != std::string::npos)
    upload.value().request.streams = true;
  send_ingest(state, name, std::move(place), std::move(upload).value(), response);
}

void remove_context(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  change(state, request, response, "rm", "removed",
         [](Store& store, const std::string& name) { return store.remove(name); });
}

void pin_context(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  change(state, request, response, "pin", "pinned",
         [](Store& store, const std::string& name) { return store.set_pinned(name, true); });
}

void unpin_context(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  change(state, request, response, "unpin", "unpinned",
         [](Store& store, const std::string& name) { return store.set_pinned(name, false); });
}

void verify_context(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  const std::string name = request.matches[1];
  if (const Status s = check_may_name(name); !s.ok()) return send_error(response, s);
  if (refuse_form(request, response)) return;
  auto seat = take_seat(state, response);
  if (seat == nullptr) return;
  const auto run = [&state, name](const Job::Tell&, const CancelToken& cancel) -> Result<std::string> {
    const auto verified = verify(state.store, {name}, {}, &cancel);
    if (!verified.ok()) return verified.status();
    return dump(with_header("verify", verify_fields(state.store.dir(), verified.value()))) + "\n";
  };
  send_whole(*seat, run, response);
}

}  // namespace reform::tool
