// The work of one request: it runs in a thread of its own, so that whoever waits for it can keep the client's
// connection alive and notice that the client went away.
#pragma once

#include <reform/cancel.h>
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

namespace reform::tool {

// What is told on the way, in the order in which it comes; the last one is what came of it all.
using JobEvent = std::variant<std::string, Result<std::string>>;

class Job {
 public:
  using Tell = std::function<void(std::string text)>;
  using Run = std::function<Result<std::string>(const Tell& tell, const CancelToken& cancel)>;

  Job(Run run, CancelToken& cancel);  // the token must outlive it
  ~Job();                             // cancels it, and waits until it has stopped
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // nullopt: nothing came meanwhile. After the last event nothing comes.
  std::optional<JobEvent> next(std::chrono::milliseconds wait);
  // Waits for an event and leaves it to next(). False: none came meanwhile.
  bool wait(std::chrono::milliseconds wait);
  // Why nothing came of it, if the next event says so.
  Status failed();

 private:
  void push(JobEvent event);

  CancelToken& cancel_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<JobEvent> events_;
  std::thread thread_;
};

}  // namespace reform::tool
