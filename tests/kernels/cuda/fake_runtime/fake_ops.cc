#include "tests/kernels/cuda/fake_runtime/fake_ops.h"

#include "base/try.h"
#include "kernels/cuda/cublas_lt.h"
#include "kernels/cuda/driver.h"
#include "tests/kernels/cuda/emulated_kernels.h"
#include "tests/kernels/cuda/fake_runtime/fake_impl.h"

namespace reform {
namespace {

test::FakeLibrary::Make make_library;

}  // namespace

std::unique_ptr<cuda::ProductLibrary> load_cublas_lt(const std::string& path) {
  return make_library ? make_library(path) : nullptr;
}

Result<int> load_cuda_kernels() {
  const bool loaded = test::FakeCuda::installed()->load_kernels() == cudaSuccess;
  (void)cudaGetLastError();
  return loaded ? Result<int>(1) : Status{Code::kUnavailable, "CUDA: loading a kernel failed"};
}

std::optional<int64_t> used_bytes_of_chip(int index) {
  test::FakeCuda* const fake = test::FakeCuda::installed();
  if (fake == nullptr || !fake->impl().chips.at(size_t(index)).is.tells_used) return {};
  return fake->used_bytes(index);
}

int64_t cuda_workspace_bytes(const OpLimits& limits) { return test::emulated_workspace_bytes(limits); }

std::unique_ptr<Ops> make_cuda_ops(const OpLimits& limits, void* stream, std::span<std::byte> workspace,
                                   const CudaOptions& options) {
  return test::make_emulated_ops(limits, stream, workspace, options);
}

namespace test {
namespace {

const char kProduct = 0, kCodeProduct = 0;  // their addresses name nodes of graphs

class InStreamOrder final : public cuda::ProductLibrary {
 public:
  explicit InStreamOrder(std::shared_ptr<cuda::ProductLibrary> plain) : plain_(std::move(plain)) {}
  const char* name() const override { return plain_->name(); }
  bool multiply(const cuda::ProductCall& call, void* stream, std::span<std::byte> workspace) override {
    FakeCuda::installed()->enqueue(stream, &kProduct, [plain = plain_, call, stream, workspace] {
      CHECK(plain->multiply(call, stream, workspace));
    });
    return true;
  }
  bool multiply_codes(const cuda::CodeProductCall& call, void* stream, std::span<std::byte> workspace) override {
    FakeCuda::installed()->enqueue(stream, &kCodeProduct, [plain = plain_, call, stream, workspace] {
      CHECK(plain->multiply_codes(call, stream, workspace));
    });
    return true;
  }

 private:
  const std::shared_ptr<cuda::ProductLibrary> plain_;
};

}  // namespace

FakeLibrary::FakeLibrary(Make make) { make_library = std::move(make); }
FakeLibrary::~FakeLibrary() { make_library = nullptr; }

std::unique_ptr<cuda::ProductLibrary> in_stream_order(std::shared_ptr<cuda::ProductLibrary> plain) {
  return std::make_unique<InStreamOrder>(std::move(plain));
}

}  // namespace test
}  // namespace reform
