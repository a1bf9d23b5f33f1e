#include "tests/kernels/cuda/emulated.h"

#include <ucontext.h>

#include <cstdlib>
#include <deque>
#include <memory>
#include <vector>

#include "base/try.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REFORM_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define REFORM_ASAN
#endif
#ifdef REFORM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace reform::cuda::emulated {

thread_local const Place* place = nullptr;
thread_local char* shared_memory = nullptr;
thread_local bool copies_at_once = false;
thread_local std::function<void(void* stream, const void* kernel, const std::function<void()>& run)> on_launch;

namespace {

thread_local int64_t n_shared_bytes = 0;
constexpr uint32_t kFirstSharedAddress = 16;  // not 0, so that a kernel cannot rely on more alignment than 16
constexpr size_t kStackBytes = 128 * 1024;    // sanitizers' frames are large
constexpr unsigned kWarp = 32;
constexpr int kCopyBytes = 16;

struct Copy {
  void* to;
  const void* from;
  int n_bytes;
  int64_t group;
  void make() const {
    std::memset(to, 0, kCopyBytes);
    if (n_bytes > 0) std::memcpy(to, from, size_t(n_bytes));
  }
};

struct Product {
  std::function<void()> make;
  int64_t group;
};

// Makes the started items of all groups before `group`, in the order in which they were started.
template <class Started>
void make_until(std::vector<Started>& under_way, int64_t group) {
  const auto done = [&](const Started& started) { return started.group < group; };
  for (const Started& started : under_way) {
    if (done(started)) started.make();
  }
  std::erase_if(under_way, done);
}

// A stack, and where its function stopped. swapcontext() would do, but it makes a system call for the signal mask each
// time, and AddressSanitizer then clears its notes on the whole stack.
class Context {
 public:
  // A new stack, on which `enter` will run.
  void start(void (*enter)()) {
    stack_ = std::make_unique_for_overwrite<char[]>(kStackBytes);
    bottom_ = stack_.get(), bytes_ = kStackBytes;
    getcontext(&begin_);
    begin_.uc_stack.ss_sp = stack_.get();
    begin_.uc_stack.ss_size = kStackBytes;
    begin_.uc_link = nullptr;
    makecontext(&begin_, enter, 0);
  }
  void switch_to(Context& to) {
#ifdef REFORM_ASAN
    void* own = nullptr;
    __sanitizer_start_switch_fiber(&own, to.bottom_, to.bytes_);
    stop_for(to);
    __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
#else
    stop_for(to);
#endif
  }
  // The first thing to do on a new stack. `from`: the thread's own, which switched to it.
  static void arrive([[maybe_unused]] Context& from) {
#ifdef REFORM_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &from.bottom_, &from.bytes_);
#endif
  }

 private:
  [[gnu::noinline, gnu::no_sanitize_address]] void stop_for(Context& to) {
    has_begun_ = true;
    if (__builtin_setjmp(at_) == 0) to.go_on();
  }
  [[noreturn, gnu::noinline, gnu::no_sanitize_address]] void go_on() {
    if (!has_begun_) setcontext(&begin_);
    __builtin_longjmp(at_, 1);
  }

  std::unique_ptr<char[]> stack_;
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  ucontext_t begin_;
  void* at_[5];
  bool has_begun_ = false;
};

struct Fiber {
  enum class State { kReady, kAtBlock, kAtWarp, kDone } state = State::kReady;
  size_t index = 0;  // of its thread in a block
  Context context;
  Place place;
  std::vector<Copy> copies;       // under way
  int64_t group = 0;              // of the next copy
  std::vector<Product> products;  // issued
  int64_t product_group = 0;
  bool products_begun = false, shown = true;  // shown: its copies, to products
};

class Block {
 public:
  Block(Dim n_threads, const std::function<void()>& body)
      : body_(body), fibers_(size_t(n_threads.x * n_threads.y * n_threads.z)), slots_(fibers_.size() * kSlotBytes) {
    thread_local std::deque<Fiber> made;  // for all grids: a stack is dear to make
    while (made.size() < fibers_.size()) {
      Fiber& f = made.emplace_back();
      f.index = made.size() - 1;
      f.context.start(&Block::enter);
    }
    for (size_t i = 0; i < fibers_.size(); ++i) fibers_[i] = &made[i];
  }

  void run(Dim block, Dim n_threads, Dim n_blocks) {
    for (Fiber* const fiber : fibers_) {
      Fiber& f = *fiber;
      const unsigned at = unsigned(f.index);
      f.state = Fiber::State::kReady;
      f.copies.clear(), f.products.clear();
      f.products_begun = false, f.shown = true;
      f.place = {{at % n_threads.x, at / n_threads.x % n_threads.y, at / (n_threads.x * n_threads.y)},
                 block,
                 n_threads,
                 n_blocks};
    }
    running_ = this;
    n_not_shown_ = 0;
    while (resume_all()) release();
    running_ = nullptr;
  }

  void wait(Fiber::State state) {
    Fiber& mine = *current_;
    mine.state = state;
    mine.context.switch_to(scheduler_);
  }

  const char* exchange(const void* mine, int bytes) {
    CHECK(bytes <= kSlotBytes);
    const size_t at = current_->index, warp = at / kWarp * kWarp;
    wait(Fiber::State::kAtWarp);  // all threads have read what was there
    std::memcpy(slots_.data() + at * kSlotBytes, mine, size_t(bytes));
    wait(Fiber::State::kAtWarp);
    return slots_.data() + warp * kSlotBytes;
  }

  Fiber& current() { return *current_; }
  void show(Fiber& f, bool shown) {
    n_not_shown_ += int(f.shown) - int(shown);
    f.shown = shown;
  }
  int n_not_shown() const { return n_not_shown_; }

  static thread_local Block* running_;

 private:
  // A fiber serves threads of one block after another, of all grids.
  [[noreturn]] static void enter() {
    Context::arrive(scheduler_);
    for (;;) {
      Block& block = *running_;
      block.body_();
      block.wait(Fiber::State::kDone);
    }
  }

  // False when all are done.
  bool resume_all() {
    bool any = false;
    for (Fiber* const f : fibers_) {
      if (f->state != Fiber::State::kReady) continue;
      any = true;
      current_ = f;
      place = &f->place;
      scheduler_.switch_to(f->context);
    }
    if (any) return true;
    // Else some threads never reach a barrier.
    for (const Fiber* const f : fibers_) CHECK(f->state == Fiber::State::kDone);
    return false;
  }

  void release() {
    bool block_met = true;
    for (const Fiber* const f : fibers_) {
      block_met = block_met && (f->state == Fiber::State::kAtBlock || f->state == Fiber::State::kDone);
    }
    for (size_t begin = 0; begin < fibers_.size(); begin += kWarp) {
      const size_t end = std::min(begin + kWarp, fibers_.size());
      bool warp_met = true;
      for (size_t i = begin; i < end; ++i) {
        warp_met = warp_met && (fibers_[i]->state == Fiber::State::kAtWarp || fibers_[i]->state == Fiber::State::kDone);
      }
      for (size_t i = begin; i < end; ++i) {
        Fiber& f = *fibers_[i];
        if ((block_met && f.state == Fiber::State::kAtBlock) || (warp_met && f.state == Fiber::State::kAtWarp)) {
          f.state = Fiber::State::kReady;
        }
      }
    }
  }

  const std::function<void()>& body_;
  std::vector<Fiber*> fibers_;  // by thread
  std::vector<char> slots_;
  Fiber* current_ = nullptr;
  int n_not_shown_ = 0;
  static thread_local Context scheduler_;
};
thread_local Block* Block::running_ = nullptr;
thread_local Context Block::scheduler_;

}  // namespace

void run_grid(Dim n_blocks, Dim n_threads, int64_t shared_bytes, const std::function<void()>& body) {
  // Filled with a byte that no kernel expects, so that reads before writes show.
  std::vector<char> shared(size_t(shared_bytes) + 64, '\xff');
  shared_memory = shared.data() + (64 - reinterpret_cast<uintptr_t>(shared.data()) % 64) % 64;
  n_shared_bytes = shared_bytes;
  Block block(n_threads, body);
  for (unsigned z = 0; z < n_blocks.z; ++z) {
    for (unsigned y = 0; y < n_blocks.y; ++y) {
      for (unsigned x = 0; x < n_blocks.x; ++x) block.run({x, y, z}, n_threads, n_blocks);
    }
  }
  shared_memory = nullptr;
}

void show_to_products() { Block::running_->show(Block::running_->current(), true); }
void begin_products() { Block::running_->current().products_begun = true; }
void start_product(std::function<void()> make) {
  Fiber& f = Block::running_->current();
  CHECK((f.products_begun && Block::running_->n_not_shown() == 0));
  if (!copies_at_once) return make();
  f.products.push_back({std::move(make), f.product_group});
}
void commit_products() { ++Block::running_->current().product_group; }
void wait_products(int n_left) {
  Fiber& f = Block::running_->current();
  f.products_begun = false;  // registers may be written again
  make_until(f.products, f.product_group - n_left);
}
uint32_t shared_address(const void* shared) {
  const int64_t at = static_cast<const char*>(shared) - shared_memory;
  CHECK((at >= 0 && at <= n_shared_bytes));
  return uint32_t(at) + kFirstSharedAddress;
}
uint16_t of_factor(uint64_t bits, bool by_columns, int i, int k) {
  CHECK((bits >> 62 == 1 && (bits >> 49 & 7) == 0));  // 128-byte swizzling, on its own alignment
  const auto field = [&](int shift) { return uint32_t(bits >> shift & 0x3fff) * 16; };
  const uint32_t start = field(0), leading = field(16), stride = field(32);
  uint32_t at = by_columns
                    ? start + uint32_t(i / 64) * leading + uint32_t(k / 8) * stride + uint32_t(k % 8 * 128 + i % 64 * 2)
                    : start + uint32_t(i / 8) * stride + uint32_t(i % 8 * 128 + k * 2);
  at ^= (at >> 7 & 7) << 4;
  CHECK((at >= kFirstSharedAddress && int64_t(at - kFirstSharedAddress) + 2 <= n_shared_bytes));
  uint16_t element;
  std::memcpy(&element, shared_memory + (at - kFirstSharedAddress), sizeof element);
  return element;
}

void meet_block() { Block::running_->wait(Fiber::State::kAtBlock); }
void meet_warp() { Block::running_->wait(Fiber::State::kAtWarp); }
void copy_async(void* to, const void* from, int n_bytes) {
  CHECK(reinterpret_cast<uintptr_t>(to) % kCopyBytes == 0 && reinterpret_cast<uintptr_t>(from) % kCopyBytes == 0);
  CHECK(n_bytes >= 0 && n_bytes <= kCopyBytes);
  Fiber& f = Block::running_->current();
  const Copy copy{to, from, n_bytes, f.group};
  copies_at_once ? copy.make() : f.copies.push_back(copy);
}
void commit_copies() { ++Block::running_->current().group; }
void wait_copies(int n_left) {
  Fiber& f = Block::running_->current();
  Block::running_->show(f, false);
  make_until(f.copies, f.group - n_left);
}
const char* exchange(const void* mine, int bytes) { return Block::running_->exchange(mine, bytes); }

}  // namespace reform::cuda::emulated
