#include "tools/serve/job.h"

#include <reform/exception_status.h>

#include <utility>

namespace reform::tool {
namespace {

// The library throws nothing, but what we use may.
Result<std::string> run_guarded(const Job::Run& run, const Job::Tell& tell, const CancelToken& cancel) {
  try {
    return run(tell, cancel);
  } catch (...) {
    return exception_status();
  }
}

}  // namespace

Job::Job(Run run, CancelToken& cancel) : cancel_(cancel) {
  thread_ = std::thread([this, run = std::move(run)] {
    push(run_guarded(
        run, [this](std::string text) { push(std::move(text)); }, cancel_));
  });
}

Job::~Job() {
  cancel_.cancel();
  thread_.join();
}

void Job::push(JobEvent event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  came_.notify_all();
}

bool Job::wait(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  return came_.wait_for(lock, wait, [&] { return !events_.empty(); });
}

Status Job::failed() {
  const std::lock_guard lock(mutex_);
  if (events_.empty()) return {};
  const auto* result = std::get_if<Result<std::string>>(&events_.front());
  return result == nullptr ? Status{} : result->status();
}

std::optional<JobEvent> Job::next(std::chrono::milliseconds wait_ms) {
  if (!wait(wait_ms)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  JobEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

}  // namespace reform::tool
