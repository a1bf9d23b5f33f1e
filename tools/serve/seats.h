// How many answers are being made or waited for. A server that lets all wait would keep clients waiting in vain.
#pragma once

#include <reform/cancel.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <set>

namespace reform::tool {

class Seats {
 public:
  explicit Seats(int n) : n_(n) {}

  // Of one answer. Frees its place when it is gone, and notes how long the answer took.
  class Seat {
   public:
    explicit Seat(Seats* seats) : seats_(seats) {}
    ~Seat();
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    CancelToken cancel;  // stops the answer

   private:
    Seats* const seats_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  };
  std::shared_ptr<Seat> take();  // nullptr: all are taken
  int retry_after_s() const;     // when one is likely to be free
  int n_taken() const;
  int n_seats() const { return n_; }
  // Stops all answers, those that begin later too.
  void stop_all();
  bool is_stopped() const;

 private:
  const int n_;
  mutable std::mutex mutex_;
  std::set<Seat*> taken_;
  bool is_stopped_ = false;
  double usual_s_ = 1;  // from one seat's end to the next
  std::chrono::steady_clock::time_point last_end_ = std::chrono::steady_clock::now();
};

}  // namespace reform::tool
