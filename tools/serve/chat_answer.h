// How a chat request is answered: by the bare model, from a context, or, where it has no room in the model's window,
// from a context of itself.
#pragma once

#include <reform/cancel.h>
#include <reform/gather.h>
#include <reform/generate.h>
#include <reform/ingest.h>
#include <reform/status.h>

#include <functional>
#include <string>
#include <vector>

#include "tools/serve/chat_request.h"
#include "tools/serve/replies.h"
#include "tools/serve/state.h"

namespace reform::tool {

// Hears of the answer while it is made.
struct ReplyListener {
  IngestProgressCallback on_progress;  // of a text that is read first
  std::function<void(const std::vector<Source>&)> on_sources;
  ReplyCallbacks reply;
};

// `context`: the one that is asked; "": the bare model.
Result<ReplyResult> answer_chat(ServerState& state, const ChatRequest& request, const std::string& context,
                                const ReplyListener& listener, const CancelToken& cancel);

}  // namespace reform::tool
