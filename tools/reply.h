// A reply as people see it: the answer on standard output, and the reasoning before it on standard error, both as they
// come. So what reads the output gets the answer alone.
#pragma once

#include <reform/generate.h>

#include <string>
#include <string_view>

#include "tools/output.h"

namespace reform::tool {

class ReplyView {
 public:
  explicit ReplyView(Output& out) : out_(out) {}
  ~ReplyView() { end_reasoning(); }  // so that an error has a line of its own
  ReplyView(const ReplyView&) = delete;
  ReplyView& operator=(const ReplyView&) = delete;

  ReplyCallbacks callbacks();
  // Ends the lines that were begun. Call it once no callback comes any more.
  void finish();

 private:
  void end_reasoning();

  Output& out_;
  bool in_reasoning_ = false;
};

// Remarks on a reply that is not all that was asked for. `what`: "answer" or "text".
void remark_reply(Output& out, std::string_view what, const std::string& empty_because,
                  const std::string& reasoning_finish_reason, const ChatOptions& asked);

}  // namespace reform::tool
