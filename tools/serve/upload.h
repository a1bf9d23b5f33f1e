// What a client sends to be read: texts, and how to read them. Three forms: JSON, one plain text, a form of files
// (multipart). The names of files are labels that passages show; nothing is opened or written by them.
#pragma once

#include <reform/archive.h>
#include <reform/ingest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/serve/fields.h"
#include "tools/serve/spool.h"

namespace reform::tool {

// A stretch of the spool.
struct UploadedText {
  std::string file;
  int64_t begin_byte = 0, end_byte = 0;
};

struct IngestRequest {
  IngestOptions options;
  std::string file;  // a plain text's
  bool streams = false;
};

struct Upload {
  Spool spool;
  std::vector<UploadedText> texts;
  IngestRequest request;
};

enum class UploadForm { kJson, kPlain, kMultipart };
// kUsage: its type is none that an upload may have.
Result<UploadForm> upload_form(const std::string& content_type);

// A query's parameters as fields: what reads as a number or a truth value is one, unless the field is a text. kUsage: a
// parameter is given twice.
using Query = std::multimap<std::string, std::string>;
Result<RequestJson> query_fields(const Query& query);
void read_ingest_fields(Fields& fields, IngestRequest& request);

inline constexpr int64_t kMostJsonBytes = int64_t{16} << 20;  // of a body, as all of it is held
// Takes the body apart as it comes, unless it is JSON. `param`: the field that is wrong, if one is.
Result<Upload> take_upload(UploadForm form, const std::string& content_type, const Query& query,
                           const ArchiveSource& body, Spool spool, std::string& param);

}  // namespace reform::tool
