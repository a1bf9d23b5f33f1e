// Reads, writes and syncs by io_uring: several at once, from one thread. It never gives back a buffer that the kernel
// may still touch. The file system needs run_io() only; the rest is how it works, visible to tests.
//
// Thread-safety: run_io() from any thread, as each has its own ring. A queue belongs to one thread.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace reform {

// One operation on an open file, of any length. A read is cut into pieces that run side by side, and what the kernel
// leaves undone is asked for again.
struct IoRequest {
  enum class Op : uint8_t {
    kRead,
    kWrite,
    kSync,       // fsync
    kSyncData,   // fdatasync
    kSyncRange,  // starts writing [offset, offset + bytes) back
    kSyncOlder,  // the same, and waits for the writing back that was under way there
  };
  static IoRequest read(int fd, uint64_t offset, char* data, size_t bytes, int64_t alignment = 1);
  static IoRequest write(int fd, uint64_t offset, const char* data, size_t bytes);
  static IoRequest sync(int fd, Op op);

  Op op = Op::kRead;
  int fd = -1;
  int64_t offset = 0;  // of the file
  char* data = nullptr;
  int64_t bytes = 0;
  // O_DIRECT's. A read that ends between its multiples has met the end of the file; going on from there would be
  // refused.
  int64_t alignment = 1;

  // Outcome: [0, done) is done. If error == 0, less than `bytes` means the end of the file (reads only).
  int64_t done = 0;
  int error = 0;  // errno of the first byte that could not be had

  int64_t next = 0;  // while it runs: pieces have been made up to here
};

struct IoPiece {
  IoRequest::Op op;
  int fd;
  int64_t offset;
  char* data;
  int64_t bytes;
};

// What run_requests() needs of a ring. Tests pass one that does what a kernel may do.
class RingQueue {
 public:
  struct Completion {
    uint64_t tag;
    int result;  // bytes, or a negative errno
  };
  virtual ~RingQueue() = default;
  virtual unsigned depth() const = 0;
  // At most depth() pieces are queued or running at a time.
  virtual void push(const IoPiece& piece, uint64_t tag) = 0;
  virtual unsigned n_queued() const = 0;  // pushed, but not yet taken by the kernel
  // Hands over what is queued and waits for n completions. Returns 0 or a negative errno.
  virtual int submit_and_wait(unsigned n) = 0;
  virtual int wait() = 0;  // waits for one; hands over nothing
  virtual std::optional<Completion> pop() = 0;
};

// Returns when the kernel is through with every piece. False: the queue has failed for good and must be dropped; plain
// system calls then did, or finished, the requests.
bool run_requests(RingQueue& queue, std::span<IoRequest> requests);
void run_requests_plainly(std::span<IoRequest> requests);

// Runs the requests side by side, through the calling thread's ring or, if it can have none, by plain system calls.
void run_io(std::span<IoRequest> requests);

// The errno that says why this process can have no ring with all these operations. Nothing if it can.
std::optional<int> ring_refusal();

}  // namespace reform
