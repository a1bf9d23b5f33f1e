#include "base/thread_pool.h"

#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

#include "base/machine.h"

namespace reform {
namespace {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

struct ThreadPool::Impl {
  std::atomic<uint32_t> round = 0;  // raised to start a job; workers wait on it
  std::atomic<int32_t> busy = 0;    // workers still inside the job
  std::atomic<int64_t> next_task = 0;
  std::atomic<bool> stop = false;
  int64_t n_tasks = 0;
  const std::function<void(int64_t, int)>* fn = nullptr;
  std::vector<std::thread> threads;

  void drain(int worker) {
    for (int64_t task; (task = next_task.fetch_add(1)) < n_tasks;) (*fn)(task, worker);
  }

  void work(int worker) {
    uint32_t seen = 0;
    for (;;) {
      // A decode step forks some 200 times per token: spin for about 50 us before sleeping in the kernel.
      for (int i = 0; i < 2000 && round.load(std::memory_order_acquire) == seen; ++i) relax();
      round.wait(seen);
      seen = round.load();
      if (stop) return;
      drain(worker);
      if (busy.fetch_sub(1) == 1) busy.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int n_threads) : impl_(std::make_unique<Impl>()) {
  if (n_threads <= 0) n_threads = cores_allowed();
  try {
    for (int i = 1; i < n_threads; ++i) impl_->threads.emplace_back([this, i] { impl_->work(i); });
  } catch (const std::system_error&) {
    // The system gives no more threads: the work is shared among those there are.
  }
}

ThreadPool::~ThreadPool() {
  impl_->stop = true;
  impl_->round.fetch_add(1);
  impl_->round.notify_all();
  for (std::thread& t : impl_->threads) t.join();
}

int ThreadPool::size() const { return int(impl_->threads.size()) + 1; }

void ThreadPool::parallel_for(int64_t n_tasks, const std::function<void(int64_t, int)>& fn) {
  Impl& p = *impl_;
  if (p.threads.empty() || n_tasks <= 1) {
    for (int64_t task = 0; task < n_tasks; ++task) fn(task, 0);
    return;
  }
  p.n_tasks = n_tasks;
  p.fn = &fn;
  p.next_task = 0;
  p.busy = int32_t(p.threads.size());
  p.round.fetch_add(1);
  p.round.notify_all();
  p.drain(0);
  for (int i = 0; i < 2000 && p.busy.load() != 0; ++i) relax();
  for (int32_t busy; (busy = p.busy.load()) != 0;) p.busy.wait(busy);
}

}  // namespace reform
