#include "storage/disk/uring/ring.h"

#include <fcntl.h>
#include <liburing.h>
#include <reform/units.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/try.h"

namespace reform {
namespace {

using Op = IoRequest::Op;

constexpr unsigned kDepth = 64;
// Reads are cut into pieces, so that one large read keeps the disk as busy as many small ones.
constexpr int64_t kReadPieceBytes = 512 * kKiB;
// The kernel does at most 2 GiB less a page at a time. This is below that, and a multiple of every alignment.
constexpr int64_t kMaxPieceBytes = 1 * kGiB;
constexpr int kMaxTries = 200;  // of one piece, or of handing over; they pause, so this is about two seconds

bool is_transfer(Op op) { return op == Op::kRead || op == Op::kWrite; }
// A sync is one indivisible unit.
int64_t units(const IoRequest& r) { return is_transfer(r.op) ? r.bytes : 1; }
// Whether to try again. A failed sync is final: the kernel then counts the pages as clean, and the next sync would say
// that all is well.
bool is_passing(Op op, int error) {
  return error == EINTR || error == EAGAIN || (is_transfer(op) && (error == EBUSY || error == ENOMEM));
}

void pause_before_try(int n_tries) {
  if (n_tries > 1) std::this_thread::sleep_for(std::chrono::microseconds(std::min(100 * n_tries, 10'000)));
}

IoPiece piece_of(const IoRequest& r, int64_t begin, int64_t end) {
  if (!is_transfer(r.op)) return {r.op, r.fd, r.offset, nullptr, r.bytes};
  return {r.op, r.fd, r.offset + begin, r.data + begin, std::min(end - begin, kMaxPieceBytes)};
}

// The bytes from `at` on cannot be had, because of an error or because the file ends. Of several such places the first
// in the file counts, in whatever order the kernel answers.
void end_request(IoRequest& r, int64_t at, int error) {
  if (at >= r.done) return;
  r.done = at;
  r.error = error;
}

// Takes the result of a piece that began at `begin` of the request. True: go on at the new `begin`, which may be the
// old one.
bool take_result(IoRequest& r, int result, int64_t& begin, int64_t end, int& n_tries) {
  if (result < 0) {
    if (is_passing(r.op, -result) && ++n_tries < kMaxTries) return true;
    end_request(r, begin, -result);
    return false;
  }
  n_tries = 0;
  if (!is_transfer(r.op)) return false;
  const int64_t asked = piece_of(r, begin, end).bytes;
  CHECK(result <= asked);
  begin += result;
  if (r.op == Op::kWrite && result == 0) {
    end_request(r, begin, EIO);
    return false;
  }
  if (r.op == Op::kRead && (result == 0 || (result < asked && begin % r.alignment != 0))) {
    end_request(r, begin, 0);
    return false;
  }
  return begin < std::min(end, r.done);
}

int run_piece_plainly(const IoPiece& p) {
  ssize_t n = 0;
  switch (p.op) {
    case Op::kRead:
      n = ::pread(p.fd, p.data, size_t(p.bytes), p.offset);
      break;
    case Op::kWrite:
      n = ::pwrite(p.fd, p.data, size_t(p.bytes), p.offset);
      break;
    case Op::kSync:
      n = ::fsync(p.fd);
      break;
    case Op::kSyncData:
      n = ::fdatasync(p.fd);
      break;
    case Op::kSyncRange:
      n = ::sync_file_range(p.fd, p.offset, p.bytes, SYNC_FILE_RANGE_WRITE);
      break;
    case Op::kSyncOlder:
      n = ::sync_file_range(p.fd, p.offset, p.bytes, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
      break;
  }
  return n < 0 ? -errno : int(n);
}

void run_plainly(IoRequest& r, int64_t begin, int64_t end) {
  int n_tries = 0;
  while (take_result(r, run_piece_plainly(piece_of(r, begin, end)), begin, end, n_tries)) pause_before_try(n_tries);
}

// One call of run_requests(): which pieces of which requests the kernel has.
class RingRun {
 public:
  RingRun(RingQueue& queue, std::span<IoRequest> requests)
      : queue_(queue), requests_(requests), n_slots_(std::min(queue.depth(), kDepth)) {
    for (unsigned s = 0; s < n_slots_; ++s) free_[s] = s;
    n_free_ = n_slots_;
    for (IoRequest& r : requests_) r.done = units(r), r.next = 0, r.error = 0;
  }

  bool run() {
    for (int n_refused = 0;;) {
      push_pieces();
      if (n_free_ == n_slots_) return !lacks_threads_;
      const unsigned n_queued = queue_.n_queued(), n_running = n_slots_ - n_free_;
      // If nothing is left to push, wait for all: a wake-up for each piece costs more than it saves.
      int error = -queue_.submit_and_wait(first_ == requests_.size() ? n_running : (n_running + 1) / 2);
      const bool moved = pop_all() || queue_.n_queued() < n_queued;
      if (moved) n_refused = 0;
      if (error == 0 && !moved) error = EAGAIN;
      if (error == 0 || error == EINTR || moved) continue;
      // The kernel is out of memory, or of room for completions. That passes as other pieces finish.
      if (!is_passing(Op::kRead, error) || ++n_refused >= kMaxTries) return abandon();
      pause_before_try(n_refused);
    }
  }

 private:
  struct Slot {
    size_t request;
    int64_t begin, end;
    int n_tries;
    bool busy = false;
  };

  void push_pieces() {
    for (; first_ < requests_.size(); ++first_) {
      IoRequest& r = requests_[first_];
      while (r.next < r.done) {  // `done` shrinks on an error or at the file's end
        if (n_free_ == 0) return;
        const int64_t end = r.op == Op::kRead ? std::min(r.done, r.next + kReadPieceBytes) : r.done;
        const unsigned s = free_[--n_free_];
        slots_[s] = {first_, std::exchange(r.next, end), end, 0, true};
        push(s);
      }
    }
  }

  void push(unsigned s) {
    const Slot& slot = slots_[s];
    queue_.push(piece_of(requests_[slot.request], slot.begin, slot.end), s);
  }

  bool pop_all() {
    bool any = false;
    while (const auto completion = queue_.pop()) {
      any = true;
      CHECK(completion->tag < n_slots_ && slots_[completion->tag].busy);
      const auto s = unsigned(completion->tag);
      Slot& slot = slots_[s];
      if (!take_result(requests_[slot.request], outcome(slot, completion->result), slot.begin, slot.end,
                       slot.n_tries)) {
        release(s);
      } else if (!abandoned_) {
        pause_before_try(slot.n_tries);
        push(s);
      } else {
        run_plainly(s);
      }
    }
    return any;
  }

  // ECANCELED: the kernel had no thread for the piece (ulimit -u), and so it has not begun it. It is done here then.
  int outcome(const Slot& slot, int result) {
    if (result != -ECANCELED) return result;
    lacks_threads_ = true;
    return run_piece_plainly(piece_of(requests_[slot.request], slot.begin, slot.end));
  }

  void release(unsigned s) {
    slots_[s].busy = false;
    free_[n_free_++] = s;
  }
  void run_plainly(unsigned s) {
    const Slot& slot = slots_[s];
    reform::run_plainly(requests_[slot.request], slot.begin, slot.end);
    release(s);
  }

  // Waits for the pieces that the kernel has. It never sees the rest.
  bool abandon() {
    abandoned_ = true;
    const unsigned n_queued = queue_.n_queued();
    while (n_slots_ - n_free_ > n_queued) {
      const int error = -queue_.wait();
      // If even waiting fails, nobody knows which buffers the kernel still writes to.
      CHECK(error == 0 || is_passing(Op::kRead, error));
      pop_all();
    }
    for (unsigned s = 0; s < n_slots_; ++s) {
      if (slots_[s].busy) run_plainly(s);
    }
    for (; first_ < requests_.size(); ++first_) {
      IoRequest& r = requests_[first_];
      if (r.next < r.done) reform::run_plainly(r, r.next, r.done);
    }
    return false;
  }

  RingQueue& queue_;
  const std::span<IoRequest> requests_;
  const unsigned n_slots_;
  size_t first_ = 0;  // the first request that is not wholly pushed
  std::array<Slot, kDepth> slots_;
  std::array<unsigned, kDepth> free_;
  unsigned n_free_ = 0;
  bool abandoned_ = false;
  bool lacks_threads_ = false;  // the kernel tries for a while each time
};

// Buffers are not registered with the kernel: RocksDB passes its own with each read, and fio's sequential reads, with
// and without registered buffers in turns (--fixedbufs), were no faster with them.
class Uring final : public RingQueue {
 public:
  // Nothing if the kernel refuses; errno then says why.
  static std::unique_ptr<Uring> create() {
    std::unique_ptr<Uring> made(new Uring);
    // From Linux 6.1 on, completions are processed when we wait for them and do not wake us one by one.
    int error = -io_uring_queue_init(kDepth, &made->ring_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error == EINVAL) error = -io_uring_queue_init(kDepth, &made->ring_, 0);
    if (error != 0) return errno = error, nullptr;
    made->initialised_ = true;
    return made;
  }
  ~Uring() override {
    if (initialised_) io_uring_queue_exit(&ring_);
  }
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // A child of fork() must not touch its parent's ring.
  bool is_of_this_process() const { return pid_ == ::getpid(); }
  bool supports_all() {
    constexpr int kOperations[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC, IORING_OP_SYNC_FILE_RANGE};
    io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
    if (probe == nullptr) return false;
    const bool all = std::all_of(std::begin(kOperations), std::end(kOperations),
                                 [&](int op) { return io_uring_opcode_supported(probe, op); });
    io_uring_free_probe(probe);
    return all;
  }

  unsigned depth() const override { return kDepth; }
  void push(const IoPiece& p, uint64_t tag) override {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    CHECK(sqe != nullptr);
    switch (p.op) {
      case Op::kRead:
        io_uring_prep_read(sqe, p.fd, p.data, unsigned(p.bytes), uint64_t(p.offset));
        break;
      case Op::kWrite:
        io_uring_prep_write(sqe, p.fd, p.data, unsigned(p.bytes), uint64_t(p.offset));
        break;
      case Op::kSync:
        io_uring_prep_fsync(sqe, p.fd, 0);
        break;
      case Op::kSyncData:
        io_uring_prep_fsync(sqe, p.fd, IORING_FSYNC_DATASYNC);
        break;
      case Op::kSyncRange:
      case Op::kSyncOlder:
        // The length has 32 bits. 0 means up to the end of the file, which is fine for a hint.
        io_uring_prep_sync_file_range(
            sqe, p.fd, p.bytes > kMaxPieceBytes ? 0 : unsigned(p.bytes), uint64_t(p.offset),
            (p.op == Op::kSyncOlder ? SYNC_FILE_RANGE_WAIT_BEFORE : 0) | SYNC_FILE_RANGE_WRITE);
        break;
    }
    io_uring_sqe_set_data64(sqe, tag);
  }
  unsigned n_queued() const override { return io_uring_sq_ready(&ring_); }
  int submit_and_wait(unsigned n) override { return std::min(0, io_uring_submit_and_wait(&ring_, n)); }
  int wait() override {
    io_uring_cqe* cqe = nullptr;
    return io_uring_wait_cqe(&ring_, &cqe);
  }
  std::optional<Completion> pop() override {
    io_uring_cqe* cqe = nullptr;
    if (io_uring_peek_cqe(&ring_, &cqe) != 0 || cqe == nullptr) return std::nullopt;
    const Completion completion{io_uring_cqe_get_data64(cqe), cqe->res};
    io_uring_cqe_seen(&ring_, cqe);
    return completion;
  }

 private:
  Uring() = default;
  io_uring ring_ = {};
  bool initialised_ = false;
  const pid_t pid_ = ::getpid();
};

// A thread's ring. It is made at first use and freed when the thread ends.
struct ThreadRing {
  std::unique_ptr<Uring> ring;
  bool refused = false;
  ~ThreadRing();
};
thread_local bool thread_has_ended = false;  // outlives what is destroyed when the thread ends
ThreadRing::~ThreadRing() { thread_has_ended = true; }

ThreadRing& thread_ring() {
  thread_local ThreadRing of_this_thread;
  return of_this_thread;
}

Uring* ring_of_this_thread() {
  if (thread_has_ended) return nullptr;
  ThreadRing& mine = thread_ring();
  if (mine.ring != nullptr && !mine.ring->is_of_this_process()) mine.ring = nullptr;
  if (mine.ring == nullptr && !mine.refused) {
    mine.ring = Uring::create();
    mine.refused = mine.ring == nullptr;
  }
  return mine.ring.get();
}

}  // namespace

IoRequest IoRequest::read(int fd, uint64_t offset, char* data, size_t bytes, int64_t alignment) {
  IoRequest r;
  r.fd = fd, r.offset = int64_t(offset), r.data = data, r.bytes = int64_t(bytes), r.alignment = alignment;
  return r;
}

IoRequest IoRequest::write(int fd, uint64_t offset, const char* data, size_t bytes) {
  IoRequest r = read(fd, offset, const_cast<char*>(data), bytes);  // a write only reads it
  r.op = Op::kWrite;
  return r;
}

IoRequest IoRequest::sync(int fd, Op op) {
  IoRequest r;
  r.fd = fd, r.op = op;
  return r;
}

bool run_requests(RingQueue& queue, std::span<IoRequest> requests) { return RingRun(queue, requests).run(); }

void run_requests_plainly(std::span<IoRequest> requests) {
  for (IoRequest& r : requests) {
    r.done = units(r), r.next = r.done, r.error = 0;
    if (r.done > 0) run_plainly(r, 0, r.done);
  }
}

void run_io(std::span<IoRequest> requests) {
  Uring* ring = ring_of_this_thread();
  if (ring == nullptr) return run_requests_plainly(requests);
  if (run_requests(*ring, requests)) return;
  ThreadRing& mine = thread_ring();
  mine.ring = nullptr;
  mine.refused = true;
}

std::optional<int> ring_refusal() {
  const auto ring = Uring::create();
  if (ring == nullptr) return errno;
  if (!ring->supports_all()) return ENOSYS;
  return std::nullopt;
}

}  // namespace reform
