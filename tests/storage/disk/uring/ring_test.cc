// The ring's loop against a kernel of ours, which answers out of order, partly, with errors, or not at all, and against
// the real one.
#include "storage/disk/uring/ring.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <thread>

#include "storage/disk/files.h"
#include "tests/storage/support/store_fixture.h"

using namespace reform;
using namespace reform::test;

namespace {

using Op = IoRequest::Op;

// Does each piece when it hands out its completion, in random order. It knows which buffers it still owns.
class FakeKernel : public RingQueue {
 public:
  FakeKernel(unsigned depth, uint64_t seed) : depth_(depth), random_(seed) {}

  std::function<std::optional<int>(const IoPiece&)> answer = [](const IoPiece&) { return std::nullopt; };
  std::function<int()> refuse = [] { return 0; };  // an errno for submit_and_wait()
  unsigned takes_at_once = 1000;
  bool short_results = false;

  unsigned n_running() const { return unsigned(running_.size()); }
  int64_t n_pushed = 0, n_completed = 0;
  bool pushed_after_refusal = false;

  unsigned depth() const override { return depth_; }
  void push(const IoPiece& piece, uint64_t tag) override {
    REQUIRE(queued_.size() + running_.size() + done_.size() < depth_);
    pushed_after_refusal = pushed_after_refusal || refused_;
    queued_.push_back({piece, tag});
    ++n_pushed;
  }
  unsigned n_queued() const override { return unsigned(queued_.size()); }
  int submit_and_wait(unsigned) override {
    if (const int error = refuse(); error != 0) {
      refused_ = true;
      return -error;
    }
    for (unsigned n = 0; n < takes_at_once && !queued_.empty(); ++n) {
      running_.push_back(queued_.front());
      queued_.pop_front();
    }
    return wait();
  }
  int wait() override {
    if (n_waits_++ % 5 == 4) return -EINTR;
    const size_t n = running_.empty() ? 0 : 1 + random_() % running_.size();
    for (size_t i = 0; i < n; ++i) {
      const auto at = running_.begin() + ptrdiff_t(random_() % running_.size());
      done_.push_back({at->tag, perform(at->piece)});
      running_.erase(at);
    }
    return 0;
  }
  std::optional<Completion> pop() override {
    if (done_.empty()) return std::nullopt;
    const Completion first = done_.front();
    done_.pop_front();
    ++n_completed;
    return first;
  }

 protected:
  virtual int perform(IoPiece piece) {
    if (const auto given = answer(piece)) return *given;
    if (short_results && piece.bytes > 1 && random_() % 2 == 0)
      piece.bytes = 1 + int64_t(random_() % uint64_t(piece.bytes));
    const ssize_t n = piece.op == Op::kRead    ? ::pread(piece.fd, piece.data, size_t(piece.bytes), piece.offset)
                      : piece.op == Op::kWrite ? ::pwrite(piece.fd, piece.data, size_t(piece.bytes), piece.offset)
                                               : 0;
    return n < 0 ? -errno : int(n);
  }

  struct Running {
    IoPiece piece;
    uint64_t tag;
  };
  const unsigned depth_;
  std::mt19937_64 random_;
  std::deque<Running> queued_, running_;
  std::deque<Completion> done_;
  int n_waits_ = 0;
  bool refused_ = false;
};

// A file of `bytes`; each byte is a function of its place.
class TestFile {
 public:
  explicit TestFile(int64_t n) : fd(::open(dir_.path("f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    REQUIRE(fd.valid());
    for (int64_t i = 0; i < n; ++i) bytes.push_back(char(part_byte(5, 1, i)));
    REQUIRE(::pwrite(fd.get(), bytes.data(), bytes.size(), 0) == ssize_t(n));
  }
  std::string now() const {
    std::string all(bytes.size() * 2 + 100, '\0');
    all.resize(size_t(::pread(fd.get(), all.data(), all.size(), 0)));
    return all;
  }

 private:
  TempDir dir_;

 public:
  FileDescriptor fd;
  std::string bytes;
};

struct Reads {
  std::vector<std::string> buffers;
  std::vector<IoRequest> requests;
  void add(const TestFile& file, uint64_t offset, size_t n) {
    buffers.emplace_back(n + 2, '#');  // a guard before and after
    requests.push_back(IoRequest::read(file.fd.get(), offset, nullptr, n));
  }
  std::span<IoRequest> ready() {
    for (size_t i = 0; i < buffers.size(); ++i) requests[i].data = buffers[i].data() + 1;
    return requests;
  }
  void check(const TestFile& file, size_t i) const {
    const IoRequest& r = requests[i];
    const size_t begin = std::min(file.bytes.size(), size_t(r.offset));
    const std::string want = file.bytes.substr(begin, size_t(r.bytes));
    CAPTURE(i, r.offset, r.bytes);
    CHECK(r.error == 0);
    CHECK(r.done == int64_t(want.size()));
    CHECK(buffers[i].compare(1, want.size(), want) == 0);
    CHECK((buffers[i].front() == '#' && buffers[i].back() == '#'));
  }
};

}  // namespace

TEST_CASE("ring: short, interrupted and disordered answers make whole reads, past the depth and past the end",
          "[storage][uring]") {
  const auto [depth, n_requests, largest] = GENERATE(table<unsigned, size_t, size_t>(
      {{1, 7, 5000}, {3, 40, 70'001}, {64, 130, 999}, {5, 3, 2'600'003}, {64, 1, 3'000'001}, {2, 0, 1}}));
  const TestFile file(3'000'000);
  FakeKernel kernel(depth, depth * 1000 + n_requests);
  kernel.short_results = true;
  kernel.takes_at_once = depth == 64 ? 1000 : 2;
  int n = 0;
  kernel.answer = [&](const IoPiece&) -> std::optional<int> {
    return ++n % 7 == 3 ? std::optional(-EINTR) : n % 11 == 5 ? std::optional(n % 2 ? -EAGAIN : -ENOMEM) : std::nullopt;
  };
  std::mt19937_64 random(17);
  Reads reads;
  for (size_t i = 0; i < n_requests; ++i) reads.add(file, random() % 3'100'000, random() % (largest + 1));
  CHECK(run_requests(kernel, reads.ready()));
  for (size_t i = 0; i < n_requests; ++i) reads.check(file, i);
  CHECK(kernel.n_running() == 0);
  CHECK(kernel.n_pushed == kernel.n_completed);
}

TEST_CASE("ring: writes of odd lengths come out whole whatever the kernel leaves undone", "[storage][uring]") {
  TestFile file(0);
  FakeKernel kernel(4, 8);
  kernel.short_results = true;
  std::mt19937_64 random(3);
  std::vector<std::string> parts;
  std::vector<IoRequest> writes;
  std::string want;
  parts.reserve(30);
  for (int i = 0; i < 30; ++i) parts.push_back(std::string(size_t(random() % 40'000), char('a' + i)));
  for (const std::string& part : parts) {
    writes.push_back(IoRequest::write(file.fd.get(), want.size(), part.data(), part.size()));
    want += part;
  }
  CHECK(run_requests(kernel, writes));
  for (const IoRequest& w : writes) CHECK((w.error == 0 && w.done == w.bytes));
  file.bytes = want;
  CHECK(file.now() == want);
}

TEST_CASE("ring: an error in the middle of a batch is its request's own, and nothing stays with the kernel",
          "[storage][uring]") {
  const TestFile file(4'000'000);
  FakeKernel kernel(6, 21);
  constexpr int64_t kBad = 2'345'678;  // this byte cannot be read
  kernel.answer = [&](const IoPiece& p) {
    return p.offset <= kBad && kBad < p.offset + p.bytes ? std::optional(-EIO) : std::nullopt;
  };
  Reads reads;
  reads.add(file, 100, 5);
  reads.add(file, 1'000'000, 2'900'000);  // across the bad byte
  reads.add(file, kBad, 1);
  reads.add(file, kBad + 1, 1000);
  reads.add(file, 3'999'990, 70);
  CHECK(run_requests(kernel, reads.ready()));
  for (const size_t i : {0, 3, 4}) reads.check(file, i);
  CHECK((reads.requests[1].error == EIO && reads.requests[2].error == EIO));
  CHECK(reads.requests[2].done == 0);
  const auto done = size_t(reads.requests[1].done);
  CHECK(done <= size_t(kBad - 1'000'000));
  CHECK(reads.buffers[1].compare(1, done, file.bytes, 1'000'000, done) == 0);
  CHECK(kernel.n_running() == 0);
}

TEST_CASE("ring: a refusal that passes is waited out, one that lasts ends in plain system calls", "[storage][uring]") {
  const auto [error, n_refusals, lasts] = GENERATE(table<int, int, bool>({{EBUSY, 7, false},
                                                                          {EAGAIN, 3, false},
                                                                          {ENOMEM, 2, false},
                                                                          {EINTR, 400, false},
                                                                          {EPERM, 1, true},
                                                                          {EBADF, 1, true},
                                                                          {EBUSY, 100'000, true}}));
  const int after = GENERATE(0, 2);  // this many submissions succeed first, so that the kernel has pieces
  const TestFile file(3'000'000);
  FakeKernel kernel(5, 4);
  kernel.takes_at_once = 3;
  int n_submissions = 0;
  kernel.refuse = [&, error = error, n_refusals = n_refusals] {
    const int n = n_submissions++ - after;
    return n >= 0 && n < n_refusals ? error : 0;
  };
  Reads reads;
  for (int i = 0; i < 12; ++i) reads.add(file, uint64_t(i) * 77'777, size_t(i) * 60'000);
  reads.add(file, 2'999'999, 2);
  CAPTURE(error, after);
  CHECK(run_requests(kernel, reads.ready()) != lasts);
  for (size_t i = 0; i < reads.requests.size(); ++i) reads.check(file, i);
  CHECK(kernel.n_running() == 0);  // the ring waited for all that the kernel had
  if (lasts) CHECK_FALSE(kernel.pushed_after_refusal);
}

TEST_CASE("ring: a sync that failed is not tried again, an interrupted one is, writes that write nothing fail",
          "[storage][uring]") {
  const TestFile file(10);
  for (const Op op : {Op::kSync, Op::kSyncData, Op::kSyncRange, Op::kSyncOlder}) {
    for (const int error : {EIO, ENOSPC, ENOMEM, EINTR, 0}) {
      FakeKernel kernel(8, 1);
      int n = 0;
      kernel.answer = [&](const IoPiece& p) {
        CHECK(p.op == op);
        return std::optional(n++ == 0 ? -error : 0);
      };
      IoRequest sync = IoRequest::sync(file.fd.get(), op);
      CHECK(run_requests(kernel, {&sync, 1}));
      CHECK(sync.error == (error == EINTR ? 0 : error));
      CHECK(n == (error == EINTR ? 2 : 1));
    }
  }
  FakeKernel kernel(8, 1);
  kernel.answer = [](const IoPiece&) { return 0; };
  IoRequest write = IoRequest::write(file.fd.get(), 0, "abc", 3);
  CHECK(run_requests(kernel, {&write, 1}));
  CHECK((write.error == EIO && write.done == 0));
}

TEST_CASE("ring: what the kernel cancels for want of a thread is done by plain calls", "[storage][uring]") {
  const TestFile file(3'000'000);
  FakeKernel kernel(8, 3);
  kernel.answer = [n = 0](const IoPiece&) mutable { return n++ % 3 == 1 ? std::optional(-ECANCELED) : std::nullopt; };
  Reads reads;
  for (int i = 0; i < 12; ++i) reads.add(file, uint64_t(i) * 77'777, size_t(i) * 60'000);
  CHECK_FALSE(run_requests(kernel, reads.ready()));  // such a ring is dropped
  for (size_t i = 0; i < reads.requests.size(); ++i) reads.check(file, i);

  FakeKernel canceller(8, 4);
  canceller.answer = [](const IoPiece&) { return -ECANCELED; };
  IoRequest sync = IoRequest::sync(file.fd.get(), Op::kSync);
  CHECK((!run_requests(canceller, {&sync, 1}) && sync.error == 0));
  IoRequest bad = IoRequest::sync(-1, Op::kSync);  // the plain call's own answer counts
  CHECK((!run_requests(canceller, {&bad, 1}) && bad.error == EBADF));
}

TEST_CASE("ring: lengths past what the kernel takes at once are cut, at offsets past 4 GiB too", "[storage][uring]") {
  const Op op = GENERATE(Op::kRead, Op::kWrite);
  constexpr int64_t kBytes = (int64_t{5} << 30) + 12'345, kOffset = (int64_t{7} << 30) + 1;
  FakeKernel kernel(16, 2);
  std::vector<std::pair<int64_t, int64_t>> seen;
  char* const nowhere = reinterpret_cast<char*>(uintptr_t{1} << 40);  // nobody looks at it
  kernel.answer = [&](const IoPiece& p) {
    CHECK(p.bytes <= (1 << 30));
    CHECK(p.data - nowhere == p.offset - kOffset);
    seen.emplace_back(p.offset, p.bytes);
    return std::optional(int(p.bytes));
  };
  IoRequest request = IoRequest::read(0, kOffset, nowhere, kBytes);
  request.op = op;
  CHECK(run_requests(kernel, {&request, 1}));
  CHECK((request.error == 0 && request.done == kBytes));
  std::sort(seen.begin(), seen.end());
  int64_t at = kOffset;
  for (const auto& [offset, bytes] : seen) {
    CHECK(offset == at);
    at += bytes;
  }
  CHECK(at == kOffset + kBytes);
}

TEST_CASE("ring: with O_DIRECT a read that ends between blocks has met the end of the file", "[storage][uring]") {
  FakeKernel kernel(4, 2);
  std::vector<int64_t> offsets;
  kernel.answer = [&](const IoPiece& p) -> std::optional<int> {
    offsets.push_back(p.offset);
    if (p.offset % 4096 != 0) return -EINVAL;
    return p.offset == 0 ? 8192 : 100;  // short at a block's border, then at the end
  };
  std::string buffer(5 * 4096, '\0');
  IoRequest read = IoRequest::read(0, 0, buffer.data(), buffer.size(), 4096);
  CHECK(run_requests(kernel, {&read, 1}));
  CHECK((read.error == 0 && read.done == 8292));
  CHECK(offsets == std::vector<int64_t>{0, 8192});
}

TEST_CASE("ring: the plain calls and the real ring agree, in many threads and in a forked child", "[storage][uring]") {
  if (ring_refusal()) WARN("io_uring is refused here: only the plain calls are tested");
  const TestFile file(2'000'000);
  const auto work = [&](uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string got(300'000, '\0');
    bool same = true;
    for (int round = 0; round < 30; ++round) {
      std::vector<IoRequest> requests;
      std::vector<std::string> buffers(1 + random() % 90);
      for (std::string& b : buffers) {
        b.resize(random() % 20'000);
        requests.push_back(IoRequest::read(file.fd.get(), random() % 2'010'000, b.data(), b.size()));
      }
      if (round % 3 == 0) {
        run_requests_plainly(requests);
      } else {
        run_io(requests);
      }
      for (size_t i = 0; i < requests.size(); ++i) {
        const size_t begin = std::min(file.bytes.size(), size_t(requests[i].offset));
        const auto done = size_t(requests[i].done);
        same = same && requests[i].error == 0 && done == std::min(buffers[i].size(), file.bytes.size() - begin) &&
               file.bytes.compare(begin, done, buffers[i], 0, done) == 0;
      }
    }
    return same;
  };
  CHECK(work(1));
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work(2) ? 0 : 1);
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(work(3));  // its own ring still works
  std::vector<char> same(8, 0);
  {
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < same.size(); ++t) threads.emplace_back([&, t] { same[t] = work(10 + t); });
  }
  CHECK(std::count(same.begin(), same.end(), 1) == 8);
}
