// Streams and events: what is issued, and when it is carried out.
#include <algorithm>
#include <tuple>

#include "base/try.h"
#include "tests/kernels/cuda/fake_runtime/fake_impl.h"

namespace reform::test {

using Impl = FakeCuda::Impl;

bool Impl::can_run(const CUstream_st& stream) const {
  return !stream.queue.empty() &&
         (stream.queue.front().waits_for == nullptr || stream.queue.front().waits_for->is_done);
}

bool Impl::is_early(const CUstream_st& stream) const {
  const bool is_first = stream.number == 0;
  return schedule == Schedule::kEarly || (schedule == Schedule::kOpsLate && !is_first) ||
         (schedule == Schedule::kCopiesLate && is_first);
}

void Impl::carry_out(CUstream_st& stream) {
  CHECK(can_run(stream));
  const Item item = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (item.kernel != nullptr) {
    ++n_kernels;
    if (fault_at >= 0 && fault_at-- == 0) {
      sticky = cudaErrorIllegalAddress;
      return give_up();
    }
  }
  if (item.run) item.run();
}

void Impl::give_up() {
  const auto finish = [](const std::shared_ptr<Mark>& mark) {
    if (mark != nullptr) mark->is_done = true;
  };
  for (auto& [stream, owned] : streams) {
    for (Item& item : stream->queue) finish(item.waits_for);
    stream->queue.clear();
  }
  for (auto& [event, owned] : events) finish(event->last);
}

void Impl::progress() {
  if (schedule == Schedule::kRandom) return progress_at_random();
  for (bool any = true; any;) {
    any = false;
    for (CUstream_st* stream : in_order()) {
      while (can_run(*stream) && (stream->queue.front().at_once || is_early(*stream))) {
        carry_out(*stream);
        any = true;
      }
    }
  }
}

std::vector<CUstream_st*> Impl::in_order() const {
  std::vector<CUstream_st*> all;
  for (const auto& [stream, owned] : streams) all.push_back(stream);
  std::sort(all.begin(), all.end(),
            [](const auto* a, const auto* b) { return std::tie(a->chip, a->number) < std::tie(b->chip, b->number); });
  return all;
}

CUstream_st* Impl::any_that_can_run() {
  std::vector<CUstream_st*> able = in_order();
  std::erase_if(able, [&](const CUstream_st* stream) { return !can_run(*stream); });
  return able.empty() ? nullptr : able[random() % able.size()];
}

// Carries out nothing, a few items, or many: a stream may be far behind the host.
void Impl::progress_at_random() {
  if (random() % 4 != 0) return;
  for (uint64_t n = random() % 4 == 0 ? 64 : random() % 4; n > 0; --n) {
    CUstream_st* const stream = any_that_can_run();
    if (stream == nullptr) return;
    carry_out(*stream);
  }
}

void Impl::step_towards(CUstream_st& stream) {
  if (schedule == Schedule::kRandom) return carry_out(*any_that_can_run());
  can_run(stream) ? carry_out(stream) : step_towards(*stream.queue.front().waits_for->stream);
}

cudaError_t Impl::wait_for(const Mark& mark) {
  protect(true);
  while (!mark.is_done && sticky == cudaSuccess) {
    step_towards(*mark.stream);
    progress();
  }
  protect(false);
  return sticky;
}

cudaError_t Impl::wait_for(CUstream_st& stream) {
  protect(true);
  while (!stream.queue.empty() && sticky == cudaSuccess) {
    step_towards(stream);
    progress();
  }
  protect(false);
  return sticky;
}

void Impl::enqueue(CUstream_st& stream, Item item) { stream.queue.push_back(std::move(item)); }

// Issues `items` or, in a capture, `node`.
cudaError_t Impl::issue(CUstream_st* stream, Node node, std::vector<Item> items) {
  if (!knows(streams, stream, "a stream")) return cudaErrorInvalidResourceHandle;
  if (stream->is_capturing) {
    if (stream->is_invalidated) return cudaErrorStreamCaptureInvalidated;
    stream->nodes.push_back(std::move(node));
    return cudaSuccess;
  }
  for (Item& item : items) enqueue(*stream, std::move(item));
  protect(true);
  progress();
  protect(false);
  return cudaSuccess;
}

std::shared_ptr<Mark> Impl::mark(CUstream_st& stream) {
  auto mark = std::make_shared<Mark>(Mark{&stream});
  enqueue(stream, {.run = [this, mark] {
            mark->at_s = chips[size_t(mark->stream->chip)].clock_s;
            mark->is_done = true;
          }});
  return mark;
}

bool Impl::is_forbidden_in_capture() {
  bool forbidden = false;
  for (auto& [stream, owned] : streams) {
    if (!stream->is_capturing || stream->capturing_thread != std::this_thread::get_id()) continue;
    stream->is_invalidated = forbidden = true;
  }
  return forbidden;
}

}  // namespace reform::test

using namespace reform::test;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return answer("cudaStreamCreateWithFlags", [&](Impl& fake) {
    if (flags != cudaStreamNonBlocking) fake.complain("a stream that the legacy default stream blocks");
    auto made = std::make_unique<CUstream_st>();
    made->chip = chosen_chip;
    for (const auto& [other, owned] : fake.streams) {
      if (other->chip == made->chip) made->number = std::max(made->number, other->number + 1);
    }
    *stream = made.get();
    fake.streams[made.get()] = std::move(made);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return answer(
      "cudaStreamDestroy",
      [&](Impl& fake) {
        if (!fake.knows(fake.streams, stream, "a stream")) return cudaErrorInvalidResourceHandle;
        if (stream->is_capturing) fake.complain("a stream that is capturing is destroyed");
        const cudaError_t error = fake.wait_for(*stream);
        fake.streams.erase(stream);
        return error;
      },
      /*gives_back=*/true);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return answer("cudaStreamSynchronize", [&](Impl& fake) {
    if (!fake.knows(fake.streams, stream, "a stream")) return cudaErrorInvalidResourceHandle;
    if (fake.is_forbidden_in_capture()) return cudaErrorStreamCaptureUnsupported;
    return fake.wait_for(*stream);
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return answer("cudaStreamWaitEvent", [&](Impl& fake) {
    if (!fake.knows(fake.streams, stream, "a stream") || !fake.knows(fake.events, event, "an event"))
      return cudaErrorInvalidResourceHandle;
    if (stream->is_capturing) {  // work that is not in the capture
      stream->is_invalidated = true;
      return cudaErrorStreamCaptureIsolation;
    }
    if (event->last == nullptr) return cudaSuccess;
    return fake.issue(stream, {}, {{.waits_for = event->last}});
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return answer("cudaEventCreateWithFlags", [&](Impl& fake) {
    auto made = std::make_unique<CUevent_st>();
    made->is_timed = (flags & cudaEventDisableTiming) == 0;
    *event = made.get();
    fake.events[made.get()] = std::move(made);
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return answer(
      "cudaEventDestroy",
      [&](Impl& fake) {
        if (!fake.knows(fake.events, event, "an event")) return cudaErrorInvalidResourceHandle;
        fake.events.erase(event);
        return cudaSuccess;
      },
      /*gives_back=*/true);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return answer("cudaEventRecord", [&](Impl& fake) {
    if (!fake.knows(fake.streams, stream, "a stream") || !fake.knows(fake.events, event, "an event"))
      return cudaErrorInvalidResourceHandle;
    // CUDA allows this in a capture, and lets other streams join it. We use neither.
    if (stream->is_capturing) {
      stream->is_invalidated = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    event->last = fake.mark(*stream);
    return fake.issue(stream, {}, {});
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return answer("cudaEventSynchronize", [&](Impl& fake) {
    if (!fake.knows(fake.events, event, "an event")) return cudaErrorInvalidResourceHandle;
    if (fake.is_forbidden_in_capture()) return cudaErrorStreamCaptureUnsupported;
    const std::shared_ptr<Mark> mark = event->last;
    return mark == nullptr ? cudaSuccess : fake.wait_for(*mark);
  });
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t begin, cudaEvent_t end) {
  return answer("cudaEventElapsedTime", [&](Impl& fake) {
    for (cudaEvent_t event : {begin, end}) {
      if (!fake.knows(fake.events, event, "an event") || !event->is_timed || event->last == nullptr)
        return cudaErrorInvalidResourceHandle;
      if (!event->last->is_done) return cudaErrorNotReady;
    }
    *ms = float((end->last->at_s - begin->last->at_s) * 1000);
    return cudaSuccess;
  });
}
