// What all kernel benchmarks share: their options beside Google Benchmark's, and their clock.
#pragma once

#include <functional>

namespace reform::bench {

// --tiny (a smoke run: small cases, once each), --threads=N. Registers the cases and runs them; main()'s return value.
int bench_main(int argc, char** argv, const std::function<void(bool tiny, int n_threads)>& add_cases);

// With one thread, the processor time it used, so that another process on the core does not count; else wall time.
double seconds_now(int n_threads);

}  // namespace reform::bench
