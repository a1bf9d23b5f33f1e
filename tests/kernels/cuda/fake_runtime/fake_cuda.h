// A CUDA runtime without a GPU, behind CUDA's own calls, so that kernels/cuda's host files run as they are. Kernels run
// under emulation. What is issued to a stream is kept, and carried out as late, as early or in such an order as CUDA
// allows; only events order two streams. Where CUDA's documentation leaves room, it is as strict as it may be.
//
// One at a time, from any thread; the calls that it answers too.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace reform::test {

// When what has been issued is carried out, within what CUDA allows. The first stream made is the ops'.
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
  int64_t others_bytes = int64_t{50} << 20;                 // taken before anybody begins
  int64_t driver_bytes = int64_t{200} << 20;                // taken when a thread first chooses the chip
  int64_t kernel_bytes = int64_t{30} << 20;                 // taken when kernels are loaded
  bool tells_used = true;                                   // whether what is in use can be asked for before that
  double device_bytes_per_s = 4e9, copy_bytes_per_s = 1e8;  // a clock of its own goes by these
};

class FakeCuda {
 public:
  explicit FakeCuda(Schedule schedule = Schedule::kLate, std::vector<FakeChip> chips = {FakeChip{}}, uint64_t seed = 1);
  ~FakeCuda();
  FakeCuda(const FakeCuda&) = delete;
  FakeCuda& operator=(const FakeCuda&) = delete;

  // Device memory is closed to the host but while something is carried out. Slow.
  void fence();
  // The call `n` of `function` from now (0: the next) fails with `error`, and does nothing.
  void fail(const std::string& function, int64_t n, cudaError_t error = cudaErrorUnknown);
  void heal();  // of what fail() asked for
  // Kernel `n` of those carried out from now does what a chip does not survive: then every call fails.
  void fault_at_kernel(int64_t n);
  void set_schedule(Schedule schedule);

  int64_t n_calls(const std::string& function) const;
  int64_t n_kernels() const;  // carried out
  int64_t n_graph_launches() const;
  int64_t used_bytes(int chip) const;     // of its memory, by everybody
  int64_t process_bytes(int chip) const;  // by this process, the driver's share included
  bool is_idle() const;                   // nothing is waiting to be carried out
  // What was done that CUDA forbids or leaves undefined, and what has not been given back; "" if all is well.
  std::string complaints() const;

  cudaError_t load_kernels();  // of the chip that this thread has chosen
  // For what stands in for a library with kernels of its own: carries out run() in the order of the stream.
  void enqueue(void* stream, const void* kernel, std::function<void()> run);

  struct Impl;
  Impl& impl() { return *impl_; }
  static FakeCuda* installed();

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform::test
