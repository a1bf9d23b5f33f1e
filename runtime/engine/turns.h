// Whose turn it is to run the model. One call runs at a time. On the CPU a call that runs long is interrupted between
// two blocks of a layer, so that others get their share: questions in turn, and what reads a text in the gaps.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

namespace reform {

class Turns {
 public:
  enum class Kind : uint8_t { kQuestion, kReading, kCount };
  // Calls of a kind that may have begun at a time; each holds memory of its own.
  static constexpr int kMostBegun[size_t(Kind::kCount)] = {4, 1};
  // So many leases go to questions while a text is waiting to be read on; then it gets one.
  static constexpr int kQuestionLeases = 8;

  class Turn;
  // Waits until the call may begin. kCancelled.
  Result<Turn> take(Kind kind, const CancelToken* cancel);

  // What follows is for the call that runs now, from its own thread.
  // Lets others run, if any wait and this one's lease is over.
  void pause();
  // There is no memory for what this call wants to do next. Waits until a question of another call is answered. False:
  // none is being answered, or this call was cancelled. It does not wait for a reading, which may take hours.
  bool wait_for_memory(const CancelToken* cancel);

  // Before the first call:
  void never_pause() { pauses_ = false; }
  void set_lease(std::chrono::milliseconds lease) { lease_ = lease; }

  int64_t n_waiting() const;  // to begin

 private:
  struct Call {
    Kind kind;
    bool has_begun = false, wants_memory = false;
  };
  using Lock = std::unique_lock<std::mutex>;

  bool may_go(const Call& call) const;
  Call* next();
  void pass_on();
  void wait_in_line(Call& call, Lock& lock);
  int n_answering_beside(const Call& call) const;
  void end(Call& call);

  // A call runs at least so long before it is interrupted.
  std::chrono::milliseconds lease_{50};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Call* running_ = nullptr;
  std::list<Call*> line_;   // those that wait for their turn, the first to come first
  std::list<Call*> begun_;  // with those that run, or want memory
  int n_leases_since_reading_ = 0;
  int64_t n_ended_ = 0;
  std::chrono::steady_clock::time_point lease_begin_;
  bool pauses_ = true;
};

// While it lives, the call has begun.
class Turns::Turn {
 public:
  Turn(Turn&& o) noexcept : turns_(std::exchange(o.turns_, nullptr)), call_(std::move(o.call_)) {}
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (turns_ != nullptr) turns_->end(*call_);
  }

 private:
  friend class Turns;
  Turn(Turns* turns, std::unique_ptr<Call> call) : turns_(turns), call_(std::move(call)) {}
  Turns* turns_;
  std::unique_ptr<Call> call_;
};

}  // namespace reform
