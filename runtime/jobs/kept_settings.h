// What a call asks for and a context that was begun earlier does not have. Private to runtime/.
#pragma once

#include <reform/ingest.h>

#include <string>

#include "runtime/compress/head_set.h"
#include "runtime/jobs/settings.h"

namespace reform {

// Each option that the caller chose (IngestOptions::chosen) and the context has with another value: "policy h2o, not
// recent; chunk_tokens 4096, not 512". `heads`: those asked for by a file or a depth; null: none were. "" if all is as
// asked.
std::string kept_settings(const IngestOptions& asked, const HeadSet* heads, const ContextSettings& kept);

}  // namespace reform
