#include "base/thread_pool.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <vector>

#include "base/machine.h"

using namespace reform;

TEST_CASE("parallel_for runs every task exactly once, for any number of threads", "[base]") {
  for (int n_threads : {1, 2, 3, 8}) {
    ThreadPool pool(n_threads);
    REQUIRE(pool.size() == n_threads);
    for (int64_t n_tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(size_t(n_tasks) + 1);
      for (int round = 0; round < 20; ++round) {
        pool.parallel_for(n_tasks, [&](int64_t task, int worker) {
          hits[size_t(task)].fetch_add(worker >= 0 && worker < n_threads ? 1 : 1000);
        });
      }
      for (int64_t i = 0; i < n_tasks; ++i) REQUIRE(hits[size_t(i)] == 20);
    }
  }
}

TEST_CASE("parallel_for waits for workers that are at work, and for no others", "[base]") {
  ThreadPool pool(8);  // more than there are cores, so that some come too late
  for (int round = 0; round < 2000; ++round) {
    std::vector<int> done(3);
    pool.parallel_for(3, [&](int64_t task, int) { done[size_t(task)] = round + 1; });
    REQUIRE(done == std::vector<int>(3, round + 1));
  }
}

TEST_CASE("what a task throws reaches the caller, and the pool goes on", "[base]") {
  for (const int n_threads : {1, 3}) {
    ThreadPool pool(n_threads);
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> n_run = 0;
      const auto throws = [&](int64_t task, int) {
        ++n_run;
        if (task >= 5) throw std::bad_alloc();
      };
      CHECK_THROWS_AS(pool.parallel_for(1000, throws), std::bad_alloc);
      CHECK(n_run < 1000);
      n_run = 0;
      pool.parallel_for(7, [&](int64_t, int) { ++n_run; });
      CHECK(n_run == 7);
    }
  }
}

TEST_CASE("usable cores: at least one, and no more than the process may run on", "[base]") {
  CHECK(usable_cores() >= 1);
  CHECK(usable_cores() <= cores_allowed());
  CHECK(ThreadPool(0).size() == usable_cores());
}
