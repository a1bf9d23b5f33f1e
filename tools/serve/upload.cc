#include "tools/serve/upload.h"

#include <fmt/format.h>
#include <reform/ranges.h>
#include <reform/text.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "tools/serve/header_value.h"
#include "tools/serve/multipart.h"
#include "tools/text.h"

namespace reform::tool {
namespace {

constexpr size_t kPieceBytes = 64 << 10;
constexpr size_t kMostTexts = 16'384;  // as their names are held
constexpr size_t kMostFileBytes = 512;
constexpr const char* kTextFields[] = {"file", "policy", "depth", "encoding"};

// Collects texts one after the other.
class TextTaker {
 public:
  explicit TextTaker(Spool spool) : upload_{std::move(spool), {}, {}} {}

  Status begin(const std::string& file) {
    const bool is_shown = printable(file, false) == file && to_utf8(file, "", "").ok();
    if (file.empty() || file.size() > kMostFileBytes || !is_shown)
      return {Code::kUsage, fmt::format("a file's name has 1 to {} bytes of UTF-8 and no control characters: '{}'",
                                        kMostFileBytes, quote(file, 60))};
    if (upload_.texts.size() == kMostTexts)
      return {Code::kUsage, fmt::format("over {} texts, which is the most; append the others", kMostTexts)};
    upload_.texts.push_back({file, upload_.spool.size_bytes(), upload_.spool.size_bytes()});
    return {};
  }

  Status add(std::string_view bytes) {
    if (Status s = upload_.spool.append(bytes); !s.ok()) return s;
    upload_.texts.back().end_byte = upload_.spool.size_bytes();
    return {};
  }

  Result<Upload> finish(IngestRequest request) {
    if (upload_.texts.empty()) return Status{Code::kUsage, "there is no text in the body"};
    upload_.request = std::move(request);
    return std::move(upload_);
  }

 private:
  Upload upload_;
};

// Gives the body to `take`, piece by piece.
template <class Take>
Status read_all(const ArchiveSource& body, const Take& take) {
  std::string piece(kPieceBytes, '\0');
  for (;;) {
    const auto n = body(piece.data(), piece.size());
    if (!n.ok()) return n.status();
    if (n.value() == 0) return {};
    if (Status s = take(std::string_view(piece).substr(0, n.value())); !s.ok()) return s;
  }
}

// The options, where the query has them.
Status take_query(const Query& query, UploadForm form, IngestRequest& request, std::string& param) {
  if (form == UploadForm::kJson) {
    if (query.empty()) return {};
    param = query.begin()->first;
    return {Code::kUsage, "with JSON the options are fields of it, and not in the query"};
  }
  const auto of_query = query_fields(query);
  if (!of_query.ok()) return of_query.status();
  Fields fields(of_query.value(), "");
  read_ingest_fields(fields, request);
  if (form == UploadForm::kMultipart && !request.file.empty())
    fields.fail("file", "each part of the form names its own");
  Status status = fields.finish();
  param = fields.param();
  return status.ok() ? request.options.validate() : status;
}

Status take_json_texts(Fields& fields, TextTaker& taker) {
  const RequestJson* list = fields.take("texts");
  if (list == nullptr || !list->is_array()) {
    fields.fail("texts", R"(expected a list of {"file", "text"})");
    return {};
  }
  for (size_t i = 0; i < list->size() && fields.ok(); ++i) {
    const std::string name = fmt::format("texts[{}]", i);
    if (!(*list)[i].is_object()) fields.fail(name, R"(expected {"file", "text"})");
    if (!fields.ok()) return {};
    Fields of((*list)[i], name + ".");
    std::string file, text;
    of.read("file", file), of.read("text", text);
    fields.adopt(of, name);
    if (!fields.ok()) return {};
    if (const Status s = taker.begin(file); !s.ok()) fields.fail(name + ".file", s.message);
    if (!fields.ok()) return {};
    if (Status s = taker.add(text); !s.ok()) return s;
  }
  return {};
}

Status take_json(const ArchiveSource& body, TextTaker& taker, IngestRequest& request, std::string& param) {
  std::string text;
  Status status = read_all(body, [&](std::string_view piece) -> Status {
    text += piece;
    return {};
  });
  if (!status.ok()) return status;
  const auto json = parse_request(text);
  if (!json.ok()) return json.status();
  text = {};
  Fields fields(json.value(), "");
  read_ingest_fields(fields, request);
  if (!request.file.empty()) fields.fail("file", "belongs into texts");
  status = take_json_texts(fields, taker);
  if (!status.ok()) return status;
  status = fields.finish();
  param = fields.param();
  return status.ok() ? request.options.validate() : status;
}

Status take_plain(const ArchiveSource& body, const std::string& file, TextTaker& taker, std::string& param) {
  if (Status s = taker.begin(file); !s.ok()) {
    param = "file";
    return s;
  }
  return read_all(body, [&](std::string_view piece) { return taker.add(piece); });
}

Status take_multipart(const ArchiveSource& body, const std::string& content_type, TextTaker& taker) {
  const auto boundary = multipart_boundary(content_type);
  if (!boundary.ok()) return boundary.status();
  MultipartReader reader(
      boundary.value(),
      [&](const MultipartHead& head) -> Status {
        if (head.is_file) return taker.begin(head.file);
        return {Code::kUsage,
                fmt::format("the form's field '{}' is no file; options go into the query", quote(head.name, 60))};
      },
      [&](std::string_view bytes) { return taker.add(bytes); });
  if (Status s = read_all(body, [&](std::string_view piece) { return reader.feed(piece); }); !s.ok()) return s;
  return reader.finish();
}

}  // namespace

Result<UploadForm> upload_form(const std::string& content_type) {
  const HeaderValue type = header_value(content_type);
  if (type.value == "application/json") return UploadForm::kJson;
  if (type.value == "multipart/form-data") return UploadForm::kMultipart;
  if (type.value != "text/plain")
    return Status{Code::kUsage, "the body's Content-Type must be application/json, text/plain or multipart/form-data"};
  const std::string charset = lower(type.get("charset"));
  if (!charset.empty() && charset != "utf-8" && charset != "us-ascii")
    return Status{Code::kUsage, "name the text's encoding in the query: encoding=" + quote(charset, 40)};
  return UploadForm::kPlain;
}

Result<RequestJson> query_fields(const Query& query) {
  RequestJson fields = RequestJson::object();
  for (const auto& [name, value] : query) {
    if (fields.contains(name)) return Status{Code::kUsage, quote(name, 60) + ": is given twice"};
    const bool is_text = std::ranges::find(kTextFields, name) != std::end(kTextFields);
    const RequestJson parsed = is_text ? RequestJson() : RequestJson::parse(value, nullptr, /*allow_exceptions=*/false);
    fields[name] = parsed.is_number() || parsed.is_boolean() ? parsed : RequestJson(value);
  }
  return fields;
}

void read_ingest_fields(Fields& fields, IngestRequest& request) {
  IngestOptions& o = request.options;
  // What is fixed when a context is begun: a context that was begun otherwise keeps its own, and a line of the log says
  // so.
  const auto read_method = [&](const char* name, auto& value, auto... range) {
    if (fields.take(name) != nullptr) o.chosen.insert(name);
    fields.read(name, value, range...);
  };
  read_method("policy", o.policy);
  read_method("depth", o.depth);
  read_method("full_depth", o.full_depth);
  read_method("pages", o.pages);
  read_method("chunk_tokens", o.chunk_tokens, ranges::kChunkTokens);
  read_method("cache_tokens", o.cache_tokens, ranges::kCacheTokens);
  read_method("sink_tokens", o.sink_tokens, ranges::kSinkTokens);
  read_method("overlap_tokens", o.overlap_tokens, ranges::kOverlapTokens);
  fields.read("encoding", o.encoding);
  fields.read("lossy", o.lossy);
  fields.read("checkpoint_seconds", o.checkpoint_seconds, ranges::kCheckpointSeconds);
  fields.read("file", request.file);
  fields.read("stream", request.streams);
  bool append = false, replace = false;
  fields.read("append", append), fields.read("replace", replace);
  if (append && replace) fields.fail("replace", "excludes append");
  if (append) o.on_existing = IngestOptions::OnExisting::kAppend;
  if (replace) o.on_existing = IngestOptions::OnExisting::kReplace;
}

Result<Upload> take_upload(UploadForm form, const std::string& content_type, const Query& query,
                           const ArchiveSource& body, Spool spool, std::string& param) {
  TextTaker taker(std::move(spool));
  IngestRequest request;
  if (Status s = take_query(query, form, request, param); !s.ok()) return s;
  Status taken;
  if (form == UploadForm::kJson) taken = take_json(body, taker, request, param);
  if (form == UploadForm::kPlain) taken = take_plain(body, request.file, taker, param);
  if (form == UploadForm::kMultipart) taken = take_multipart(body, content_type, taker);
  if (!taken.ok()) return taken;
  return taker.finish(std::move(request));
}

}  // namespace reform::tool
