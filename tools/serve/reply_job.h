// One answer in the making: the engine's call runs in a thread of its own, so that whoever waits for it can keep the
// client's connection alive and notice that the client went away.
#pragma once

#include <reform/cancel.h>
#include <reform/gather.h>
#include <reform/generate.h>
#include <reform/ingest.h>
#include <reform/status.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "tools/serve/replies.h"

namespace reform::tool {

struct TextPiece {
  std::string text;
  bool is_reasoning = false;
  std::vector<AnswerToken> tokens = {};  // where they are wanted
};
// In the order in which they come; the last one is what came of it all.
using ReplyEvent = std::variant<IngestProgress, std::vector<Source>, TextPiece, Result<ReplyResult>>;

struct ReplyListener {
  IngestProgressCallback on_progress;  // of a text that is read first
  std::function<void(const std::vector<Source>&)> on_sources;
  ReplyCallbacks reply;
};

class ReplyJob {
 public:
  using Run = std::function<Result<ReplyResult>(const ReplyListener& listener, const CancelToken& cancel)>;

  ReplyJob(Run run, CancelToken& cancel);  // the token must outlive it
  ~ReplyJob();                             // cancels it, and waits until it has stopped
  ReplyJob(const ReplyJob&) = delete;
  ReplyJob& operator=(const ReplyJob&) = delete;

  // nullopt: nothing came meanwhile. After the last event nothing comes.
  std::optional<ReplyEvent> next(std::chrono::milliseconds wait);
  // Waits for an event and leaves it to next(). False: none came meanwhile.
  bool wait(std::chrono::milliseconds wait);
  // Why there is no answer, if the next event says that there is none.
  Status failed();

 private:
  void push(ReplyEvent event);

  CancelToken& cancel_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<ReplyEvent> events_;
  std::thread thread_;
};

}  // namespace reform::tool
