// cuBLASLt, loaded at run time. Where there is none, the program still starts and our own kernels multiply.
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/product_library.h"

namespace reform {

// Loads it for the thread's current CUDA device, from the file `path` (the toolkit's, or the one that PyTorch brings).
// An empty `path` leaves the search to the loader. Null if none works here.
std::unique_ptr<cuda::ProductLibrary> load_cublas_lt(const std::string& path);

}  // namespace reform
