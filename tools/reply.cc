#include "tools/reply.h"

#include <fmt/format.h>

#include <utility>

#include "tools/progress.h"
#include "tools/text.h"

namespace reform::tool {

ReplyCallbacks ReplyView::callbacks() {
  const auto on_text = [this](const std::string& piece) {
    end_reasoning();
    return out_.text(piece);
  };
  const auto on_reasoning = [this](const std::string& piece) {
    if (out_.json()) return true;
    if (!std::exchange(in_reasoning_, true)) out_.progress().stream("Reasoning:\n");
    out_.progress().stream(printable(piece, true));
    return true;
  };
  return {on_text, on_reasoning};
}

void ReplyView::end_reasoning() {
  if (std::exchange(in_reasoning_, false)) out_.progress().stream("\n\n");
}

void ReplyView::finish() {
  end_reasoning();
  out_.text("\n");
}

void remark_reply(Output& out, std::string_view what, const std::string& empty_because,
                  const std::string& reasoning_finish_reason, const ChatOptions& asked) {
  if (reasoning_finish_reason == "length" && asked.think != Think::kOff && asked.think_tokens != 0) {
    out.progress().remark("[the reasoning was cut; --think-tokens N allows more]");
  }
  if (const char* why = explain_empty(empty_because); *why != 0)
    out.progress().remark(fmt::format("[the {} is empty: {}]", what, why));
}

}  // namespace reform::tool
