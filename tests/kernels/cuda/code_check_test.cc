#include "kernels/cuda/code_check.h"

#include <catch2/catch.hpp>
#include <functional>
#include <vector>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "tests/kernels/cuda/plain_codes.h"

namespace reform::test {
namespace {

// Multiplies the call after `spoil` has changed it.
class SpoiltCodes final : public cuda::ProductLibrary {
 public:
  using Spoil = std::function<void(cuda::CodeProductCall&)>;
  explicit SpoiltCodes(Spoil spoil) : spoil_(std::move(spoil)) {}
  const char* name() const override { return "spoilt"; }
  bool multiply(const cuda::ProductCall&, void*, std::span<std::byte>) override { return false; }
  bool multiply_codes(const cuda::CodeProductCall& call, void* stream, std::span<std::byte> workspace) override {
    cuda::CodeProductCall spoilt = call;
    spoil_(spoilt);
    return plain_.multiply_codes(spoilt, stream, workspace);
  }

 private:
  const Spoil spoil_;
  PlainCodes plain_;
};

bool checks(cuda::ProductLibrary& library, size_t n_bytes = 64 << 10) {
  MemoryAccount account;
  ThreadPool pool(1);
  const auto device = make_cpu_device(Isa::kRef, pool, account);
  std::vector<std::byte> memory(n_bytes + 256);
  const size_t gap = 256 - reinterpret_cast<uintptr_t>(memory.data()) % 256;
  return multiplies_codes(library, *device, nullptr, std::span(memory).subspan(gap, n_bytes));
}

TEST_CASE("cuda codes: a library that multiplies them passes the check", "[kernels][cuda]") {
  PlainCodes plain;
  CHECK(checks(plain));
  CHECK(plain.n_code_calls == 1);
}

TEST_CASE("cuda codes: a library that multiplies something else does not", "[kernels][cuda]") {
  const float one = 1;
  const SpoiltCodes::Spoil spoils[] = {
      [](cuda::CodeProductCall& c) { std::swap(c.x, c.w); },
      [](cuda::CodeProductCall& c) { c.x_stride = c.w_stride = c.depth; },
      [](cuda::CodeProductCall& c) { c.depth += 16; },
      [&one](cuda::CodeProductCall& c) { c.x_step = &one; },
      [](cuda::CodeProductCall& c) { c.w_step = c.x_step; },
      [](cuda::CodeProductCall& c) { c.accumulate = false; },
      [](cuda::CodeProductCall& c) { --c.n_tokens; },
  };
  for (const auto& spoil : spoils) {
    SpoiltCodes spoilt(spoil);
    CHECK_FALSE(checks(spoilt));
  }
  PlainCodes refuses;
  refuses.n_before_refusal = 0;
  CHECK_FALSE(checks(refuses));
}

TEST_CASE("cuda codes: too little memory for the check is a library that does not pass", "[kernels][cuda]") {
  PlainCodes plain;
  for (const size_t n_bytes : {0, 100, 2600, 6000, 12000}) CHECK_FALSE(checks(plain, n_bytes));
  CHECK(plain.n_code_calls == 0);
}

}  // namespace
}  // namespace reform::test
