// Replaces the parts of kernels/cuda that need a chip: the kernels, by their emulation, and the product library.
#pragma once

#include <functional>
#include <memory>

#include "kernels/cuda/product_library.h"

namespace reform::test {

// While it lives, load_cublas_lt() returns what `make` makes. At other times it finds no library.
class FakeLibrary {
 public:
  using Make = std::function<std::unique_ptr<cuda::ProductLibrary>(const std::string& path)>;
  explicit FakeLibrary(Make make);
  ~FakeLibrary();
  FakeLibrary(const FakeLibrary&) = delete;
  FakeLibrary& operator=(const FakeLibrary&) = delete;
};

// A library that lets `plain` do its work in the order of the stream, as cuBLASLt would.
std::unique_ptr<cuda::ProductLibrary> in_stream_order(std::shared_ptr<cuda::ProductLibrary> plain);

}  // namespace reform::test
