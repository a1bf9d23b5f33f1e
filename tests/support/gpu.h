// Tests that run on a GPU where there is one, and when they must.
#pragma once

#include <cstdlib>

namespace reform::test {

// Whether this run is there for the GPU (REFORM_NEEDS_GPU is set): a test that finds none then fails.
inline bool gpu_needed() { return std::getenv("REFORM_NEEDS_GPU") != nullptr; }

}  // namespace reform::test
