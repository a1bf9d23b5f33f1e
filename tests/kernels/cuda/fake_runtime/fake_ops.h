// What kernels/cuda has beside its host files and the runtime: kernels, a product library.
#pragma once

#include <functional>
#include <memory>

#include "kernels/cuda/product_library.h"

namespace reform::test {

// Stands for load_cublas_lt(), while it lives: none is found, or one that `make` makes.
class FakeLibrary {
 public:
  using Make = std::function<std::unique_ptr<cuda::ProductLibrary>(const std::string& path)>;
  explicit FakeLibrary(Make make);
  ~FakeLibrary();
  FakeLibrary(const FakeLibrary&) = delete;
  FakeLibrary& operator=(const FakeLibrary&) = delete;
};

// A library whose work is done in the order of the stream, as cuBLASLt's is: `plain` does it.
std::unique_ptr<cuda::ProductLibrary> in_stream_order(std::shared_ptr<cuda::ProductLibrary> plain);

}  // namespace reform::test
