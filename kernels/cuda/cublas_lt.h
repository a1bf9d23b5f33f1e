// cuBLASLt, loaded at run time: a program starts, and multiplies by our own kernels, where there is none.
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/product_library.h"

namespace reform {

// For the thread's present CUDA device: the file `path` (the toolkit's, or the one that PyTorch brought), or if that is
// empty what the loader finds. Null where there is none that works here.
std::unique_ptr<cuda::ProductLibrary> load_cublas_lt(const std::string& path);

}  // namespace reform
