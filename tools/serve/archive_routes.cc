// Routes for a context as one file, which export writes and import reads. Neither holds more of it than a piece.
#include <fmt/format.h>
#include <reform/archive.h>

#include <utility>

#include "tools/serve/header_value.h"
#include "tools/serve/implicit_context.h"
#include "tools/serve/state.h"
#include "tools/text.h"

namespace reform::tool {
namespace {

// Why there is no archive of it, if so; nothing of it is written.
Status try_export(ServerState& state, const std::string& name, const CancelToken& cancel) {
  bool begins = false;
  ExportTarget to;
  to.sink = [&](const char*, size_t) {
    begins = true;
    return Status{Code::kCancelled, "it begins"};
  };
  const Status status = export_context(state.store, name, to, {}, &cancel).status();
  return begins ? Status{} : status;
}

// As a header may hold it (RFC 6266): a plain name for all, and the whole one for those who know that form.
std::string disposition(const std::string& name) {
  std::string plain, whole;
  for (const char c : name) {
    const bool is_plain =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
    plain += is_plain ? c : '_';
    whole += is_plain ? std::string(1, c) : fmt::format("%{:02X}", (unsigned char)c);
  }
  return fmt::format("attachment; filename=\"{}.reform\"; filename*=UTF-8''{}.reform", plain, whole);
}

Status write_archive(ServerState& state, const std::string& name, httplib::DataSink& sink, const CancelToken& cancel) {
  ExportTarget to;
  to.sink = [&](const char* bytes, size_t n) -> Status {
    if (n == 0 || sink.write(bytes, n)) return {};
    return {Code::kIo, "the client is gone"};
  };
  return export_context(state.store, name, to, {}, &cancel).status();
}

}  // namespace

void export_archive(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  const std::string name = request.matches[1];
  if (const Status s = check_may_name(name); !s.ok()) return send_error(response, s);
  auto seat = take_seat(state, response);
  if (seat == nullptr) return;
  if (const Status s = try_export(state, name, seat->cancel); !s.ok()) return send_error(response, s);
  response.set_header("Content-Disposition", disposition(name));
  // Without the last chunk the client knows that the file is not whole.
  response.set_chunked_content_provider(
      "application/octet-stream", [&state, name, seat](size_t, httplib::DataSink& sink) {
        const Status written = write_archive(state, name, sink, seat->cancel);
        if (written.ok()) sink.done();
        if (!written.ok())
          state.options.log(fmt::format("export of '{}' broke off: {}", quote(name, 60), written.message));
        return written.ok();
      });
}

void import_archive(ServerState& state, const httplib::Request& request, httplib::Response& response) {
  ImportOptions options;
  options.name = request.matches[1];
  if (const Status s = check_may_name(options.name); !s.ok()) return send_error(response, s);
  if (header_value(request.get_header_value("Content-Type")).value != "application/octet-stream")
    return send_error(response, 415, "the body must be an archive, with 'Content-Type: application/octet-stream'",
                      "usage");
  const auto place = take_upload_place(state, response);
  if (place == nullptr) return;
  options.model_path = state.engine.model().path;  // what another model has made could not be asked here
  const ImportOrigin from{"the body", body_source(*place)};
  auto imported = import_context(state.store, from, options, {}, &place->cancel);
  if (imported.status().code == Code::kCorrupt)  // the archive, and nothing of the server's
    return send_error(response, 400, imported.status().message, code_name(Code::kCorrupt));
  if (!imported.ok()) return send_error(response, imported.status());
  hide_implicit(imported.value().evicted);
  send_json(response, 200, with_header("import", import_fields(state.store.dir(), "", imported.value())));
}

}  // namespace reform::tool
