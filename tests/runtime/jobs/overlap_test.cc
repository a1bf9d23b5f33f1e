// A device with memory of its own computes a chunk while the host writes the one before and reads the next one's text.
// What is committed, saved and found again is the same as in the CPU's order, wherever it stops.
#include <catch2/catch.hpp>
#include <sstream>

#include "runtime/jobs/store_impl.h"
#include "storage/disk/disk.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/support/fault_file_system.h"

using namespace reform;
using namespace reform::test;

namespace {

using OnExisting = IngestOptions::OnExisting;
using Event = FencedDevice::Event;

constexpr int64_t kChunk = 64;

struct TwoBenches {
  IngestBench here, there{2, "qwen2", IngestBench::Memory::kFenced};

  FencedDevice& device() { return static_cast<FencedDevice&>(*there.engine().impl().device); }
  template <class Run>
  void on_each(const Run& run) {
    for (IngestBench* bench : {&here, &there}) run(*bench);
  }
  // Both must then hold the same.
  template <class Run>
  void on_both(const Run& run) {
    on_each(run);
    const auto a = here.store().list(), b = there.store().list();
    REQUIRE((a.ok() && b.ok()));
    REQUIRE(a.value().size() == b.value().size());
    for (size_t i = 0; i < a.value().size(); ++i) {
      CHECK(a.value()[i].n_tokens == b.value()[i].n_tokens);
      CHECK(a.value()[i].state == b.value()[i].state);
    }
  }
  void check_same_context() { check_same(here.snapshot("a"), there.snapshot("a")); }
};

// Checkpoints only at the end: with one after each chunk nothing could overlap.
IngestOptions options(const std::string& policy, OnExisting on_existing = OnExisting::kRefuse) {
  IngestOptions o = IngestBench::options(policy);
  o.checkpoint_seconds = 1000;
  o.on_existing = on_existing;
  return o;
}

// Stopped within a chunk, the CPU takes it back and saves what was before it; a device saves nothing more.
void check_saved(TwoBenches& both) {
  const auto saved = [](IngestBench& b) {
    const auto found = b.store().find("a");
    return found.ok() ? found.value().n_tokens : 0;
  };
  CHECK(saved(both.there) <= saved(both.here));
}

// The store on a disk that fails on demand.
std::shared_ptr<FaultFileSystem> put_on_faulty_disk(Store& store) {
  Store::Impl& impl = store.impl();
  impl.contexts.reset();
  auto faults = std::make_shared<FaultFileSystem>(rocksdb::FileSystem::Default(), impl.dir, 7);
  impl.contexts = ContextStore::open(impl.dir, impl.account, std::make_shared<const Disk>(faults)).value();
  return faults;
}

}  // namespace

TEST_CASE("a chunk is written once the next one's ops are issued, whose text is read before anything waits for it",
          "[runtime][device]") {
  TwoBenches both;
  const IngestOptions none = options("none");
  const std::string first = made_text(5, 1000), second = made_text(6, 300);
  REQUIRE(both.here.ingest_files("a", {first, second}, none).ok());
  const int64_t n_first = [&] {
    REQUIRE(both.here.ingest_files("first", {first}, none).ok());
    return both.here.store().find("first").value().n_tokens;
  }();
  // While this chunk, the last that `first` fills, is computed, tokens of `second` are needed.
  const int64_t last_full = n_first / kChunk - 1;
  REQUIRE(last_full >= 2);

  const auto faults = put_on_faulty_disk(both.there.store());
  std::istringstream first_text(first), second_text(second);
  bool read_by_then = false;  // the text, when its chunk's tokens were needed
  std::string order;          // o: ops issued, h: host waits for the device, w: store written
  int64_t n_writes = 0, n_ops = 0;
  std::vector<int64_t> ops_before_wait;
  const auto note = [&](char what) {
    if (order.empty() || order.back() != what) order += what;
  };
  both.device().watch = [&](Event event) {
    if (std::exchange(n_writes, faults->counts().writes) != n_writes) note('w');
    note(event == Event::kOp ? 'o' : 'h');
    if (event == Event::kOp) ++n_ops;
    if (event == Event::kToHost) ops_before_wait.push_back(n_ops);
    if (int64_t(ops_before_wait.size()) == last_full + 1 && event == Event::kToHost)
      read_by_then = second_text.rdbuf()->in_avail() <= 0;
  };
  const std::vector<IngestSource> sources = {{both.there.file_path(0), &first_text},
                                             {both.there.file_path(1), &second_text}};
  REQUIRE(ingest(both.there.engine(), both.there.store(), "a", sources, none).ok());
  both.device().watch = nullptr;
  INFO(order);
  CHECK(order.substr(0, 12) == "wohwohwohwoh");
  CHECK(ops_before_wait[0] == 2 * (ops_before_wait[1] - ops_before_wait[0]));  // two chunks' ops before the first wait
  CHECK(read_by_then);
  both.check_same_context();
}

TEST_CASE("stopped at any chunk, a device keeps no more than the CPU, and goes on to the same context",
          "[runtime][device]") {
  TwoBenches both;
  for (const std::string policy : {"h2o", "none"}) {
    const std::string text = made_text(51 + policy.size(), 1000), more = made_text(52, 700), other = made_text(53, 600);
    bool ended = false;
    for (int chunk = 0; !ended; ++chunk) {
      CAPTURE(policy, chunk);
      both.on_each([&](IngestBench& b) { ended = !b.file_stopped("a", text, options(policy), chunk); });
      check_saved(both);
      if (ended) CHECK(chunk > 4);
      if (ended) break;
      both.on_both([&](IngestBench& b) { REQUIRE(b.ingest_file("a", text, options(policy)).ok()); });
      if (chunk == 2) {
        for (const OnExisting how : {OnExisting::kAppend, OnExisting::kReplace}) {
          const IngestOptions anew = options(policy, how);
          const std::string& next = how == OnExisting::kAppend ? more : other;
          both.on_each([&](IngestBench& b) { REQUIRE(b.file_stopped("a", next, anew, chunk)); });
          check_saved(both);
          both.on_both([&](IngestBench& b) { REQUIRE(b.ingest_file("a", next, anew).ok()); });
          both.check_same_context();
        }
      } else if (chunk % 2 == 1) {
        both.check_same_context();
      }
      both.on_both([&](IngestBench& b) { REQUIRE(b.store().remove("a").ok()); });
    }
    both.check_same_context();
    both.on_both([&](IngestBench& b) { REQUIRE(b.store().remove("a").ok()); });
  }
}

TEST_CASE("text that turns out bad while a device computes leaves what the CPU leaves", "[runtime][device]") {
  TwoBenches both;
  std::string said[2];
  both.on_both([&](IngestBench& b) {
    const auto r = b.ingest_files("a", {made_text(7, 1000), "\xff"}, options("h2o"));
    CHECK(r.status().code == Code::kBadText);
    said[&b == &both.there] = r.status().message.substr(r.status().message.find(".txt"));
  });
  CHECK(said[0] == said[1]);
  CHECK(both.there.store().find("a").status().code == Code::kNotFound);  // nothing was saved, so nothing stays
}

TEST_CASE("a store that is full stops a device's ingest where it stops the CPU's, with everything saved",
          "[runtime][device]") {
  TwoBenches both;
  const std::string policy = GENERATE("h2o", "none");
  const std::string text = made_text(5, 30'000);
  int64_t n_saved[2] = {};
  both.on_both([&](IngestBench& b) {
    const int64_t used = b.store().use().value().used_bytes;
    REQUIRE(b.store().set_limit({used + (int64_t{2} << 20) + 500'000, false}).ok());
    const auto stopped = b.ingest_file("a", text, options(policy));
    INFO(stopped.status().message);
    REQUIRE(stopped.status().code == Code::kNoSpace);
    CHECK(stopped.status().message.find("tokens are saved") != std::string::npos);
    n_saved[&b == &both.there] = b.store().find("a").value().n_tokens;
    CHECK(b.store().find("a").value().n_tokens > 2 * kChunk);
  });
  CHECK(n_saved[0] == n_saved[1]);
  both.on_both([&](IngestBench& b) {
    REQUIRE(b.store().set_limit({0, false}).ok());
    const auto done = b.ingest_file("a", text, options(policy));
    REQUIRE(done.ok());
    CHECK(done.value().tokens_run == done.value().context.n_tokens - n_saved[0]);
  });
  both.check_same_context();
}

TEST_CASE("a write that fails while a device computes ends the ingest there, and it can be gone on with",
          "[runtime][device]") {
  TwoBenches both;
  const std::string text = made_text(9, 1300);
  std::shared_ptr<FaultFileSystem> faults[2];
  for (IngestBench* bench : {&both.here, &both.there})
    faults[bench == &both.there] = put_on_faulty_disk(bench->store());
  std::vector<int64_t> writes_before;  // before each chunk begins, on the CPU
  int64_t last_begin = -1;
  faults[0]->arm({});
  const auto note = [&](const IngestProgress& p) {
    if (p.phase == "compress" && std::exchange(last_begin, p.tokens_done) != p.tokens_done &&
        p.tokens_done % kChunk == 0)
      writes_before.push_back(faults[0]->counts().writes);
  };
  REQUIRE(both.here.ingest_files("a", {text}, options("none"), note).ok());
  REQUIRE(both.here.store().remove("a").ok());
  const int64_t n_chunks = int64_t(writes_before.size());
  REQUIRE(n_chunks > 6);
  for (const int64_t chunk : {int64_t{0}, int64_t{1}, int64_t{4}, n_chunks - 2}) {
    CAPTURE(chunk);
    both.on_both([&](IngestBench& b) {
      FaultFileSystem& disk = *faults[&b == &both.there];
      disk.arm({.fail_write = writes_before[size_t(chunk)] + 1, .from_then_on = true, .swallows_sync = {}});
      CHECK(b.ingest_file("a", text, options("none")).status().code == Code::kIo);
      disk.arm({});
      const auto left = b.store().find("a");  // the disk may refuse to remove it, too
      CHECK((left.ok() ? left.value().n_tokens : 0) == 0);
    });
    both.on_both([&](IngestBench& b) { REQUIRE(b.ingest_file("a", text, options("none")).ok()); });
    both.check_same_context();
    both.on_both([&](IngestBench& b) { REQUIRE(b.store().remove("a").ok()); });
  }
}
