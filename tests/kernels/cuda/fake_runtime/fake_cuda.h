// A CUDA runtime without a GPU, behind CUDA's own calls, so that kernels/cuda's host files run unchanged. Kernels run
// under emulation. Work issued to a stream is kept, and carried out as late, as early or in such an order as CUDA
// allows; only events order two streams. Where CUDA's documentation leaves room, the fake is as strict as it may be.
//
// Only one exists at a time. It, and the calls that it answers, may be used from any thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace reform::test {

// When issued work is carried out, within what CUDA allows. The first stream made is the ops'.
enum class Schedule : uint8_t {
  kLate,        // when somebody waits, and only what they wait for
  kEarly,       // at once
  kOpsLate,     // the first stream late, the others early
  kCopiesLate,  // the other way round
  kRandom,
};
constexpr Schedule kSchedules[] = {Schedule::kLate, Schedule::kEarly, Schedule::kOpsLate, Schedule::kCopiesLate,
                                   Schedule::kRandom};
const char* name(Schedule schedule);

struct FakeChip {
  std::string name = "Pretended";
  int major = 8, minor = 9;
  int64_t total_bytes = int64_t{1} << 30;
  int64_t others_bytes = int64_t{50} << 20;                 // in use before anyone begins
  int64_t driver_bytes = int64_t{200} << 20;                // taken when a thread first chooses the chip
  int64_t kernel_bytes = int64_t{30} << 20;                 // taken when kernels are loaded
  bool tells_used = true;                                   // whether the bytes in use can be asked for before that
  double device_bytes_per_s = 4e9, copy_bytes_per_s = 1e8;  // for a clock of its own
};

class FakeCuda {
 public:
  explicit FakeCuda(Schedule schedule = Schedule::kLate, std::vector<FakeChip> chips = {FakeChip{}}, uint64_t seed = 1);
  ~FakeCuda();
  FakeCuda(const FakeCuda&) = delete;
  FakeCuda& operator=(const FakeCuda&) = delete;

  // The host can touch device memory only while work is carried out. Slow.
  void fence();
  // Call `n` of `function` from now on (0: the next) fails with `error` and does nothing.
  void fail(const std::string& function, int64_t n, cudaError_t error = cudaErrorUnknown);
  void heal();  // ends what fail() began
  // Kernel `n` of those carried out from now on does what a chip does not survive. After it every call fails.
  void fault_at_kernel(int64_t n);
  void set_schedule(Schedule schedule);

  int64_t n_calls(const std::string& function) const;
  int64_t n_kernels() const;  // carried out so far
  int64_t n_graph_launches() const;
  int64_t used_bytes(int chip) const;     // of its memory, by everybody
  int64_t process_bytes(int chip) const;  // by this process, the driver's share included
  bool is_idle() const;                   // no work is waiting
  // Everything done that CUDA forbids or leaves undefined, and everything not given back; "" if all is well.
  std::string complaints() const;

  cudaError_t load_kernels();  // on the chip that this thread has chosen
  // For stand-ins of a library with kernels of its own: carries out run() in the order of the stream.
  void enqueue(void* stream, const void* kernel, std::function<void()> run);

  struct Impl;
  Impl& impl() { return *impl_; }
  static FakeCuda* installed();

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform::test
