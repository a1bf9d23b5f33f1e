#include "tools/serve/seats.h"

#include <algorithm>
#include <cmath>

namespace reform::tool {

std::shared_ptr<Seats::Seat> Seats::take() {
  const std::lock_guard lock(mutex_);
  if (int(taken_.size()) >= n_) return nullptr;
  auto seat = std::make_shared<Seat>(this);
  if (is_stopped_) seat->cancel.cancel();
  taken_.insert(seat.get());
  return seat;
}

Seats::Seat::~Seat() {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(seats_->mutex_);
  // One answer after the other: what this one took alone began when the one before ended.
  const std::chrono::duration<double> alone = now - std::max(begin_, seats_->last_end_);
  seats_->usual_s_ += 0.3 * (alone.count() - seats_->usual_s_);
  seats_->last_end_ = now;
  seats_->taken_.erase(this);
}

int Seats::retry_after_s() const {
  const std::lock_guard lock(mutex_);
  return int(std::clamp(std::ceil(usual_s_), 1.0, 60.0));
}

int Seats::n_taken() const {
  const std::lock_guard lock(mutex_);
  return int(taken_.size());
}

void Seats::stop_all() {
  const std::lock_guard lock(mutex_);
  is_stopped_ = true;
  for (Seat* seat : taken_) seat->cancel.cancel();
}

bool Seats::is_stopped() const {
  const std::lock_guard lock(mutex_);
  return is_stopped_;
}

}  // namespace reform::tool
