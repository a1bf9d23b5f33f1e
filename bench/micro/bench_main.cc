#include "bench/micro/bench_main.h"

#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace reform::bench {

int bench_main(int argc, char** argv, const std::function<void(bool tiny, int n_threads)>& add_cases) {
  bool tiny = false;
  int n_threads = 1;
  std::vector<char*> rest;
  for (int i = 0; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--tiny") {
      tiny = true;
    } else if (arg.starts_with("--threads=")) {
      n_threads = std::max(1, std::atoi(argv[i] + 10));
    } else {
      rest.push_back(argv[i]);
    }
  }
  add_cases(tiny, n_threads);
  int n = int(rest.size());
  benchmark::Initialize(&n, rest.data());
  if (benchmark::ReportUnrecognizedArguments(n, rest.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

double seconds_now(int n_threads) {
  timespec now{};
  clock_gettime(n_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

}  // namespace reform::bench
