// Tells tests that can use a GPU whether they must.
#pragma once

#include <cstdlib>

namespace reform::test {

// True if this run is meant for the GPU (REFORM_NEEDS_GPU is set). A test that finds no GPU then fails.
inline bool gpu_needed() { return std::getenv("REFORM_NEEDS_GPU") != nullptr; }

}  // namespace reform::test
