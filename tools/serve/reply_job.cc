#include "tools/serve/reply_job.h"

#include <reform/exception_status.h>

#include <utility>

namespace reform::tool {
namespace {

// The library throws nothing, but what we use may.
Result<ReplyResult> run_guarded(const ReplyJob::Run& run, const ReplyListener& listener, const CancelToken& cancel) {
  try {
    return run(listener, cancel);
  } catch (...) {
    return exception_status();
  }
}

}  // namespace

ReplyJob::ReplyJob(Run run, CancelToken& cancel) : cancel_(cancel) {
  thread_ = std::thread([this, run = std::move(run)] {
    ReplyListener listener;
    listener.on_progress = [this](const IngestProgress& progress) { push(progress); };
    listener.on_sources = [this](const std::vector<Source>& sources) { push(sources); };
    std::vector<AnswerToken> tokens;  // of the next piece of the answer
    const auto tell_reasoning = [this](const std::string& text) {
      push(TextPiece{text, true});
      return !cancel_.cancelled();
    };
    const auto tell_text = [&](const std::string& text) {
      push(TextPiece{text, false, std::exchange(tokens, {})});
      return !cancel_.cancelled();
    };
    listener.reply = {tell_text, tell_reasoning, [&](const AnswerToken& token) { tokens.push_back(token); }};
    push(run_guarded(run, listener, cancel_));
  });
}

ReplyJob::~ReplyJob() {
  cancel_.cancel();
  thread_.join();
}

void ReplyJob::push(ReplyEvent event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  came_.notify_all();
}

bool ReplyJob::wait(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  return came_.wait_for(lock, wait, [&] { return !events_.empty(); });
}

Status ReplyJob::failed() {
  const std::lock_guard lock(mutex_);
  if (events_.empty()) return {};
  const auto* result = std::get_if<Result<ReplyResult>>(&events_.front());
  return result == nullptr ? Status{} : result->status();
}

std::optional<ReplyEvent> ReplyJob::next(std::chrono::milliseconds wait_ms) {
  if (!wait(wait_ms)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  ReplyEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

}  // namespace reform::tool
