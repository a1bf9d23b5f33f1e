#include "base/thread_pool.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
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

// A round is open while its tasks are being taken. A worker that the system runs too late finds it closed, and nobody
// waits for it: only workers inside are waited for. So what else runs on the cores costs its share and no more.
struct ThreadPool::Impl {
  static constexpr uint32_t kOpen = 1u << 31;

  std::atomic<uint32_t> round = 0;   // raised when one is opened; workers wait on it
  std::atomic<uint32_t> inside = 0;  // workers in the round; kOpen: more may enter
  std::atomic<int64_t> next_task = 0;
  std::atomic<bool> stop = false;
  // Of the open round. Written while nobody is inside.
  int64_t n_tasks = 0;
  const std::function<void(int64_t, int)>* fn = nullptr;
  std::exception_ptr thrown;  // by a task: the first
  std::mutex thrown_mutex;
  int spins = 0;  // before a thread sleeps in the kernel
  std::vector<std::thread> threads;

  // No exception may leave a thread. The caller of parallel_for gets it once every worker has left.
  void drain(int worker) {
    try {
      for (int64_t task; (task = next_task.fetch_add(1)) < n_tasks;) (*fn)(task, worker);
    } catch (...) {
      next_task = n_tasks;
      const std::lock_guard lock(thrown_mutex);
      if (!thrown) thrown = std::current_exception();
    }
  }

  bool enter() {
    uint32_t now = inside.load();
    while ((now & kOpen) != 0) {
      if (inside.compare_exchange_weak(now, now + 1)) return true;
    }
    return false;
  }

  void leave() {
    if (inside.fetch_sub(1) == 1) inside.notify_one();  // the last one of a closed round
  }

  void work(int worker) {
    for (uint32_t seen = 0;;) {
      for (int i = 0; i < spins && round.load() == seen; ++i) relax();
      round.wait(seen);
      seen = round.load();
      if (stop) return;
      if (!enter()) continue;
      drain(worker);
      leave();
    }
  }

  void begin() {
    inside = kOpen;
    round.fetch_add(1);
    round.notify_all();
  }

  void end() {
    inside.fetch_and(~kOpen);
    for (int i = 0; i < spins && inside.load() != 0; ++i) relax();
    for (uint32_t left; (left = inside.load()) != 0;) inside.wait(left);
  }
};

ThreadPool::ThreadPool(int n_threads) : impl_(std::make_unique<Impl>()) {
  const int n_cores = usable_cores();
  if (n_threads <= 0) n_threads = n_cores;
  // A decode step has some 200 rounds, so it pays to spin for about 50 us; not where another thread needs the core.
  impl_->spins = n_threads <= n_cores ? 2000 : 0;
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
  p.begin();
  p.drain(0);
  p.end();
  if (p.thrown) std::rethrow_exception(std::exchange(p.thrown, nullptr));
}

}  // namespace reform
