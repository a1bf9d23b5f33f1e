// The parts of the fake runtime: chips, memory, streams of items, events, graphs.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "tests/kernels/cuda/fake_runtime/fake_cuda.h"

namespace reform::test {

// A place in a stream. It is done once everything before it has been carried out.
struct Mark {
  CUstream_st* stream;
  bool is_done = false;
  double at_s = 0;  // of the chip's clock
};

struct Range {
  const std::byte* begin = nullptr;
  size_t bytes = 0;
  bool overlaps(const Range& o) const { return begin < o.begin + o.bytes && o.begin < begin + bytes; }
};

struct Item {
  std::function<void()> run = {};
  const void* kernel = nullptr;          // null: the driver's own work
  std::shared_ptr<Mark> waits_for = {};  // on another stream
  bool at_once = false;                  // as soon as CUDA allows, whatever the schedule says
  std::vector<Range> touches = {};       // of memory, if known
};

struct Node {
  const void* function = nullptr;  // graphs are compared by it
  std::function<void()> run = {};
  bool is_kernel = false;
};

}  // namespace reform::test

struct CUstream_st {
  int chip = 0, number = 0;  // 0: the first of those that are there
  std::deque<reform::test::Item> queue;
  bool is_capturing = false, is_invalidated = false;
  std::thread::id capturing_thread;
  std::vector<reform::test::Node> nodes;  // captured
};
struct CUevent_st {
  bool is_timed = false;
  std::shared_ptr<reform::test::Mark> last;  // where it was last recorded
};
struct CUgraph_st {
  std::vector<reform::test::Node> nodes;
};
struct CUgraphExec_st {
  std::vector<reform::test::Node> nodes;
};

namespace reform::test {

template <class T>
using Owned = std::map<T*, std::unique_ptr<T>>;

struct FakeCuda::Impl {
  struct Chip {
    FakeChip is;
    int64_t allocated_bytes = 0;
    double clock_s = 0;
  };
  struct Block {
    size_t bytes = 0, mapped_bytes = 0;
    int chip = 0;
  };
  struct Failure {
    int64_t calls_left;
    cudaError_t error;
  };

  std::recursive_mutex mutex;
  Schedule schedule = Schedule::kLate;
  std::mt19937_64 random;
  std::vector<Chip> chips;
  std::map<std::byte*, Block> device, pinned;
  Owned<CUstream_st> streams;
  Owned<CUevent_st> events;
  Owned<CUgraph_st> graphs;
  Owned<CUgraphExec_st> execs;
  bool is_fenced = false;
  int n_open = 0;

  std::map<std::string, int64_t> calls;
  std::map<std::string, Failure> failures;
  cudaError_t sticky = cudaSuccess;
  int64_t fault_at = -1, n_kernels = 0, n_graph_launches = 0;
  std::set<std::string> complaints;

  void complain(const std::string& what) { complaints.insert(what); }
  template <class T>
  bool knows(const Owned<T>& all, T* one, const char* what) {
    if (all.contains(one)) return true;
    complain(std::string(what) + " that is none");
    return false;
  }
  Block* block_of(std::map<std::byte*, Block>& all, const Range& range);
  void protect(bool open);

  // Streams.
  cudaError_t issue(CUstream_st* stream, Node node, std::vector<Item> items);
  void enqueue(CUstream_st& stream, Item item);
  bool can_run(const CUstream_st& stream) const;
  bool is_early(const CUstream_st& stream) const;
  void carry_out(CUstream_st& stream);
  void progress();  // carries out what the schedule wants now
  void progress_at_random();
  std::vector<CUstream_st*> in_order() const;  // in the order of their making, one chip after another
  CUstream_st* any_that_can_run();
  void step_towards(CUstream_st& stream);
  cudaError_t wait_for(const Mark& mark);
  cudaError_t wait_for(CUstream_st& stream);
  std::shared_ptr<Mark> mark(CUstream_st& stream);
  void give_up();  // drops all work, after a fault
  // CUDA Runtime API, cudaThreadExchangeStreamCaptureMode: calls that a thread may not make while it captures. Such a
  // call ends the capture here, too.
  bool is_forbidden_in_capture();
};

extern thread_local cudaError_t last_error;
extern thread_local int chosen_chip;

// Every call goes through here. It is counted, it fails if a test or an earlier fault says so, and its error is
// remembered.
template <class Fn>
cudaError_t answer(const char* function, Fn fn, bool gives_back = false) {
  if (FakeCuda::installed() == nullptr) return last_error = cudaErrorInsufficientDriver;
  FakeCuda::Impl& fake = FakeCuda::installed()->impl();
  const std::lock_guard lock(fake.mutex);
  ++fake.calls[function];
  cudaError_t error = cudaSuccess;
  if (const auto failure = fake.failures.find(function); failure != fake.failures.end()) {
    if (failure->second.calls_left-- == 0) error = failure->second.error;
  }
  if (error == cudaSuccess) error = fake.sticky;
  if (error == cudaSuccess || gives_back) {
    const cudaError_t own = fn(fake);
    if (error == cudaSuccess) error = own;
  }
  if (error == cudaSuccess) error = fake.sticky;  // a fault that came while it waited
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace reform::test
