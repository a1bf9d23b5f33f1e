#include "base/thread_pool.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <vector>

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
