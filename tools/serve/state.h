// What all routes of the server share, and how they read a request and write a response.
#pragma once

#include <httplib.h>
#include <reform/archive.h>
#include <reform/engine.h>
#include <reform/store.h>

#include <memory>
#include <optional>
#include <string>

#include "tools/json_output.h"
#include "tools/serve/fields.h"
#include "tools/serve/metrics.h"
#include "tools/serve/prompt_locks.h"
#include "tools/serve/seats.h"
#include "tools/serve/server.h"

namespace reform::tool {

struct ServerState {
  PromptLocks long_prompts;
  Engine& engine;
  Store& store;
  const ServerOptions options;
  Seats seats;
  Metrics metrics;
  Seats uploads;  // of texts and archives that are read, or wait on the disk until they are

  ServerState(Engine& e, Store& s, ServerOptions o)
      : engine(e), store(s), options(std::move(o)), seats(options.n_seats), uploads(kMostUploads) {}
  static constexpr int kMostUploads = 8;
};

using Route = void(ServerState& state, const httplib::Request& request, httplib::Response& response);

void send_json(httplib::Response& response, int http_status, const Json& json);
void send_error(httplib::Response& response, int http_status, const std::string& message, const std::string& code_name,
                const std::string& param = "");
void send_error(httplib::Response& response, const Status& status, const std::string& param = "");

// nullptr: all are taken, and the response says so.
std::shared_ptr<Seats::Seat> take_seat(ServerState& state, httplib::Response& response);

// The same for uploads.
std::shared_ptr<Seats::Seat> take_upload_place(ServerState& state, httplib::Response& response);

// Others' prompts are nobody's to read or to change.
Status check_may_name(const std::string& context);
// Whether a page of another site may have had it sent without asking first, as it may have a form sent; then it is
// refused, and the response says so.
bool refuse_form(const httplib::Request& request, httplib::Response& response);

// A request that has a seat.
struct SeatedRequest {
  std::shared_ptr<Seats::Seat> seat;
  RequestJson json;
};
// The seat comes first: it bounds how many bodies are taken apart at a time. nullopt: all are taken, or the body is no
// JSON object, and the response says so.
std::optional<SeatedRequest> take_request(ServerState& state, const httplib::Request& request,
                                          httplib::Response& response);

// Of the request that this thread answers (server.cc). The body is an upload's; kUsage: it broke off. kCancelled: the
// place was told to stop.
bool client_is_gone();
ArchiveSource body_source(const Seats::Seat& place);

// OpenAI's (chat_routes.cc).
Route list_models, show_model, chat_completion, completion;
// Ours (native_routes.cc).
Route health, ready, openapi, metrics, tokenize_text, list_contexts, show_context, ask_contexts, search_contexts;
// Those that change a context (context_routes.cc), and its archive (archive_routes.cc).
Route ingest_context, remove_context, pin_context, unpin_context, verify_context;
Route export_archive, import_archive;

}  // namespace reform::tool
