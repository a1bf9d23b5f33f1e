#include "runtime/engine/turns.h"

#include <algorithm>
#include <memory>

namespace reform {
namespace {

constexpr std::chrono::milliseconds kCancelPoll{50};

bool is_cancelled(const CancelToken* cancel) { return cancel != nullptr && cancel->cancelled(); }

}  // namespace

bool Turns::may_go(const Call& call) const {
  if (call.has_begun) return true;
  const auto n = std::ranges::count_if(begun_, [&](const Call* c) { return c->kind == call.kind; });
  return n < kMostBegun[size_t(call.kind)];
}

// Of the line; nullptr: nobody who may go.
Turns::Call* Turns::next() {
  Call* first[size_t(Kind::kCount)] = {};
  for (Call* call : line_) {
    Call*& of_kind = first[size_t(call->kind)];
    if (of_kind == nullptr && may_go(*call)) of_kind = call;
  }
  Call* const question = first[size_t(Kind::kQuestion)];
  Call* const reading = first[size_t(Kind::kReading)];
  if (question == nullptr) return reading;
  return reading != nullptr && n_leases_since_reading_ >= kQuestionLeases ? reading : question;
}

void Turns::pass_on() {
  running_ = next();
  if (running_ == nullptr) return;
  line_.remove(running_);
  if (!std::exchange(running_->has_begun, true)) begun_.push_back(running_);
  n_leases_since_reading_ = running_->kind == Kind::kReading ? 0 : n_leases_since_reading_ + 1;
  lease_begin_ = std::chrono::steady_clock::now();
  changed_.notify_all();
}

// Of a call that has begun: its sessions are of no use to anybody else, so it waits also if it was cancelled.
void Turns::wait_in_line(Call& call, Lock& lock) {
  line_.push_back(&call);
  if (running_ == nullptr) pass_on();
  changed_.wait(lock, [&] { return running_ == &call; });
}

int Turns::n_answering_beside(const Call& call) const {
  return int(std::ranges::count_if(
      begun_, [&](const Call* c) { return c != &call && c->kind == Kind::kQuestion && !c->wants_memory; }));
}

Result<Turns::Turn> Turns::take(Kind kind, const CancelToken* cancel) {
  auto call = std::make_unique<Call>(Call{kind});
  Lock lock(mutex_);
  line_.push_back(call.get());
  if (running_ == nullptr) pass_on();
  while (running_ != call.get() && !is_cancelled(cancel)) changed_.wait_for(lock, kCancelPoll);
  if (running_ != call.get()) {
    line_.remove(call.get());
    return Status{Code::kCancelled, "stopped while another call was using the engine"};
  }
  lock.unlock();
  Turn turn(this, std::move(call));
  if (is_cancelled(cancel)) return Status{Code::kCancelled, "stopped before it began"};
  return turn;
}

void Turns::pause() {
  if (!pauses_) return;
  Lock lock(mutex_);
  if (line_.empty() || std::chrono::steady_clock::now() - lease_begin_ < lease_) return;
  Call& self = *running_;
  running_ = nullptr;
  wait_in_line(self, lock);
}

bool Turns::wait_for_memory(const CancelToken* cancel) {
  Lock lock(mutex_);
  Call& self = *running_;
  if (n_answering_beside(self) == 0) return false;
  self.wants_memory = true;
  const int64_t n_ended = n_ended_;
  pass_on();
  while (n_ended_ == n_ended && !is_cancelled(cancel)) changed_.wait_for(lock, kCancelPoll);
  self.wants_memory = false;
  wait_in_line(self, lock);
  return !is_cancelled(cancel);
}

void Turns::end(Call& call) {
  const Lock lock(mutex_);
  begun_.remove(&call);
  ++n_ended_;
  pass_on();
  changed_.notify_all();
}

int64_t Turns::n_waiting() const {
  const Lock lock(mutex_);
  return std::ranges::count_if(line_, [](const Call* call) { return !call->has_begun; });
}

}  // namespace reform
