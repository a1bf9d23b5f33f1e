// A fixed set of threads for the kernels. parallel_for is a fork-join over numbered tasks.
//
// Results must not depend on the number of threads. So a task's work may depend on its number only, never on the
// worker. Thread-safety: one parallel_for at a time (the engine runs one forward at a time).
#pragma once

#include <functional>
#include <memory>

namespace reform {

class ThreadPool {
 public:
  // n_threads >= 1, the caller's thread included. 0: one per usable core (machine.h).
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;
  // Calls fn(task, worker) for every task in [0, n_tasks) and returns when all are done. `worker`, in [0, size()),
  // selects per-worker scratch. Workers take tasks in order, one at a time. If a task throws, the tasks that nobody has
  // begun are left out, and the caller gets the exception.
  void parallel_for(int64_t n_tasks, const std::function<void(int64_t task, int worker)>& fn);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform
