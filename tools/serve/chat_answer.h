// How a chat request is answered: by the bare model, from a context, or, where it has no room in the model's window,
// from a context of itself.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <string>

#include "tools/serve/chat_request.h"
#include "tools/serve/replies.h"
#include "tools/serve/reply_job.h"
#include "tools/serve/state.h"

namespace reform::tool {

// `context`: the one that is asked; "": the bare model.
Result<ReplyResult> answer_chat(ServerState& state, const ChatRequest& request, const std::string& context,
                                const ReplyListener& listener, const CancelToken& cancel);

}  // namespace reform::tool
