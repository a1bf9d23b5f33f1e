// Reads what a client has sent, as `reform ingest` reads files.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <string>

#include "tools/serve/job.h"
#include "tools/serve/state.h"
#include "tools/serve/upload.h"

namespace reform::tool {

// The end of the response: the object of `reform ingest --json`, as JSON or as the last event of a stream. Tells how
// far it is, as events.
Result<std::string> ingest_upload(ServerState& state, const std::string& name, const Upload& upload,
                                  const Job::Tell& tell, const CancelToken& cancel);

}  // namespace reform::tool
