// The whole job on a device whose weights come and go. Wherever they are, the result is the CPU's.
#include "runtime/model/weights/places.h"

#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "runtime/engine/engine_impl.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/gguf_writer.h"

using namespace reform;
using namespace reform::test;

namespace {

using Memory = IngestBench::Memory;

// A tiny model with its layers repeated, so that there are enough of them to stream.
class DeepModel {
 public:
  DeepModel(const std::string& tiny, int64_t n_layers)
      : path_(fmt::format("/tmp/reform-deep-{}-{}.gguf", tiny, ::getpid())) {
    const auto gguf = std::move(Gguf::open(tiny_path(tiny))).value();
    GgufWriter writer;
    int64_t n_before = 0;
    for (const auto& entry : gguf->raw_entries()) {
      uint32_t kind = 0;
      std::memcpy(&kind, entry.raw.data(), sizeof kind);
      const std::string key(entry.key);
      if (key.ends_with(".block_count")) {
        n_before = gguf->get_int(key).value().value();
        writer.add(key, uint32_t(n_layers));
      } else {
        const auto value = entry.raw.subspan(sizeof kind);
        writer.add_raw(key, kind, {reinterpret_cast<const char*>(value.data()), value.size()});
      }
    }
    for (const GgufTensor& t : gguf->tensors()) {
      if (!t.name.starts_with("blk.")) writer.add_tensor(t.name, t.type, t.shape, t.data);
    }
    for (int64_t i = 0; i < n_layers; ++i) {
      const std::string from = fmt::format("blk.{}.", i % n_before), to = fmt::format("blk.{}.", i);
      for (const GgufTensor& t : gguf->tensors()) {
        if (t.name.starts_with(from)) writer.add_tensor(to + t.name.substr(from.size()), t.type, t.shape, t.data);
      }
    }
    writer.write_file(path_);
  }
  ~DeepModel() { ::unlink(path_.c_str()); }
  DeepModel(const DeepModel&) = delete;
  DeepModel& operator=(const DeepModel&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string text() { return made_text(41, 2500); }

FencedDevice& device_of(IngestBench& bench) { return static_cast<FencedDevice&>(*bench.engine().impl().device); }
const WeightReport& report(IngestBench& bench) { return bench.engine().impl().model->weights().report(); }

void ingest_twice(IngestBench& bench, const std::string& policy) {
  REQUIRE(bench.ingest("a", {text()}, IngestBench::options(policy)).status().message == "");
  IngestOptions more = IngestBench::options(policy);
  more.on_existing = IngestOptions::OnExisting::kAppend;
  REQUIRE(bench.ingest("a", {"And then nobody counted them."}, more).ok());
}

// Checks that everything still on the device belongs to the model.
void check_only_weights(IngestBench& bench) {
  const MemoryAccount& there = device_of(bench).account();
  CHECK(there.current_total_bytes() == there.current_bytes(MemoryCategory::kWeights));
}

}  // namespace

TEST_CASE("copies beside the ops: until somebody waits, nothing is there", "[runtime][weights]") {
  ThreadPool pool{1};
  MemoryAccount host;
  const auto device = fenced_cpu(Isa::kRef, pool);
  FencedCopies& copies = *device->copies();
  auto there = std::move(Buffer<std::byte>::create(device->account(), MemoryCategory::kWeights, 300)).value();
  auto pinned = std::move(PinnedBuffer::create(copies, host, MemoryCategory::kWeights, 300)).value();
  CHECK(host.current_bytes(MemoryCategory::kWeights) == 300);
  std::memset(pinned.data(), 3, 300);
  const auto seen = [&] {
    std::byte last{};
    REQUIRE(device->to_host(&last, there.data() + 299, 1).ok());
    return int(last);
  };
  CHECK(seen() == 0);
  const int64_t first = copies.start(there.data(), pinned.data(), 300).value();
  CHECK(seen() == 0xff);
  CHECK(copies.ops_wait_for(first).ok());
  CHECK(seen() == 3);
  std::memset(pinned.data(), 5, 300);
  const int64_t second = copies.start(there.data() + 298, pinned.data(), 2).value();
  CHECK(copies.wait_for(first).ok());
  CHECK(seen() == 0xff);
  CHECK(copies.wait_for(second).ok());
  CHECK(seen() == 5);
  pinned.reset();
  CHECK(host.current_total_bytes() == 0);
}

TEST_CASE("wherever weights are, ingest, append and ask give what the CPU gives", "[runtime][weights]") {
  for (const char* tiny : {"qwen2", "llama2_linear"}) {  // an output matrix of its own, and one that is tied
    const DeepModel model(tiny, 7);
    for (const char* policy : {"h2o", "none"}) {
      IngestBench here(2, model.path());
      ingest_twice(here, policy);
      const Snapshot want = here.snapshot("a");
      for (const WeightPlace place : {WeightPlace::kResident, WeightPlace::kHost, WeightPlace::kFile}) {
        CAPTURE(tiny, policy, int(place));
        IngestBench there(2, model.path(), Memory::kFenced, {place, 0});
        ingest_twice(there, policy);
        const bool resident = place == WeightPlace::kResident;
        CHECK(report(there).streamed_layers == (resident ? 0 : 3));  // up to the exit layer
        CHECK(report(there).planned_tokens_per_second == 0);
        check_same(want, there.snapshot("a"));
        CHECK(report(there).resident_layers == (resident ? 7 : 0));
        CHECK(report(there).place == std::string(resident                      ? "resident"
                                                 : place == WeightPlace::kHost ? "host"
                                                                               : "file"));
        CHECK(report(there).planned_tokens_per_second > 0);
        check_only_weights(there);
      }
    }
  }
}

TEST_CASE("under any cap a job is refused before it begins, or ends as it does without one", "[runtime][weights]") {
  const DeepModel model("qwen2", 9);
  IngestBench here(2, model.path()), ample(2, model.path(), Memory::kFenced);
  for (IngestBench* bench : {&here, &ample}) REQUIRE(bench->ingest("a", {text()}, IngestBench::options("h2o")).ok());
  const Snapshot want = here.snapshot("a");
  check_same(want, ample.snapshot("a"));
  const int64_t most = device_of(ample).account().peak_total_bytes();
  const auto is_planned = [](const Status& refused) {
    return refused.code == Code::kMemoryCap && refused.message.find("this needs") != std::string::npos;
  };
  std::set<int64_t> resident_at_ingest, resident_at_ask;
  int n_refused = 0, n_done = 0;
  for (int64_t step = 6; step <= 33; ++step) {
    const int64_t cap = most * step / 32 + 131 * step;
    CAPTURE(step, cap, most);
    IngestBench there(2, model.path(), Memory::kFenced, {WeightPlace::kAuto, cap});
    const auto ingested = there.ingest("a", {text()}, IngestBench::options("h2o"));
    if (!ingested.ok()) {
      INFO(ingested.status().message);
      CHECK(is_planned(ingested.status()));
      CHECK(n_done == 0);
      ++n_refused;
      continue;
    }
    resident_at_ingest.insert(report(there).resident_layers);
    AskOptions options;
    options.gather_tokens = 48, options.edge_tokens = 8, options.pool_window = 5, options.sampling.max_new_tokens = 2;
    const auto answer = ask(there.engine(), there.store(), {"a"}, "where?", options);
    if (!answer.ok()) {
      INFO(answer.status().message);
      CHECK(is_planned(answer.status()));
      continue;
    }
    ++n_done;
    check_same(want, there.snapshot("a"));
    resident_at_ask.insert(report(there).resident_layers);
    CHECK(device_of(there).account().peak_total_bytes() <= cap);
    check_only_weights(there);
  }
  INFO(fmt::format("at ingest {}, at ask {}", fmt::join(resident_at_ingest, " "), fmt::join(resident_at_ask, " ")));
  CHECK(n_refused > 0);
  CHECK(n_done > 5);
  CHECK(resident_at_ingest.size() > 1);
  CHECK(resident_at_ask.size() > 3);
}

TEST_CASE("weights on their way: stopped in the middle of a chunk, all goes on", "[runtime][weights]") {
  const DeepModel model("qwen2", 7);
  IngestBench here(2, model.path());
  REQUIRE(here.ingest("a", {text()}, IngestBench::options("h2o")).ok());
  for (const WeightPlace place : {WeightPlace::kHost, WeightPlace::kFile}) {
    IngestBench there(2, model.path(), Memory::kFenced, {place, 0});
    for (const int chunk : {0, 2, 3}) CHECK(there.ingest_stopped("a", {text()}, IngestBench::options("h2o"), chunk));
    check_only_weights(there);
    REQUIRE(there.ingest("a", {text()}, IngestBench::options("h2o")).ok());
    check_same(here.snapshot("a"), there.snapshot("a"));
  }
}

TEST_CASE("weights on their way: a device that fails in a copy is one clear error", "[runtime][weights]") {
  const DeepModel model("qwen2", 5);
  for (const WeightPlace place : {WeightPlace::kResident, WeightPlace::kHost, WeightPlace::kFile}) {
    CAPTURE(int(place));
    IngestBench bench(2, model.path(), Memory::kFenced, {place, 0});
    FencedDevice& device = device_of(bench);
    int n_failed = 0;
    for (int64_t n = 0;; n = 2 * n + 1) {
      device.fail_after(n);
      const auto ingested = bench.ingest("a", {text()}, IngestBench::options("h2o"));
      device.fail_after(FencedDevice::kNever);
      check_only_weights(bench);
      if (ingested.ok()) break;
      CHECK(ingested.status().code == Code::kUnavailable);
      ++n_failed;
      REQUIRE(n < 100'000);
    }
    CHECK(n_failed > 3);
    IngestBench here(2, model.path());
    REQUIRE(here.ingest("a", {text()}, IngestBench::options("h2o")).ok());
    check_same(here.snapshot("a"), bench.snapshot("a"));
  }
}

TEST_CASE("weights from a file that has become shorter are a clear error", "[runtime][weights]") {
  for (const WeightPlace place : {WeightPlace::kHost, WeightPlace::kFile}) {
    const DeepModel model("qwen2", 7);
    IngestBench bench(2, model.path(), Memory::kFenced, {place, 0});
    const auto bytes = std::filesystem::file_size(model.path());
    REQUIRE(::truncate(model.path().c_str(), off_t(bytes * 2 / 5)) == 0);
    const auto ingested = bench.ingest("a", {text()}, IngestBench::options("h2o"));
    CHECK(ingested.status().code == Code::kBadModel);
    CHECK(ingested.status().message.find(model.path() + ": was cut from ") == 0);
    check_only_weights(bench);
  }
}

TEST_CASE("weights that stay are not copied again, and the planned rate follows from the bytes", "[runtime][weights]") {
  const DeepModel model("qwen2", 7);
  IngestBench ample(2, model.path(), Memory::kFenced);
  const int64_t once = device_of(ample).copies()->bytes_in();
  CHECK(once > 0);
  REQUIRE(ample.ingest("a", {text()}, IngestBench::options("h2o")).ok());
  (void)ample.snapshot("a");
  CHECK(device_of(ample).copies()->bytes_in() == once);
  CHECK(device_of(ample).copies()->pinned_bytes() == 0);
  CHECK(ample.engine().memory().gpu_weights.place == "resident");

  IngestBench streamed(2, model.path(), Memory::kFenced, {WeightPlace::kHost, 0});
  REQUIRE(streamed.ingest("a", {text()}, IngestBench::options("h2o")).ok());
  (void)streamed.snapshot("a");
  const Model& m = *streamed.engine().impl().model;
  const double layers = 7.0 * double(layer_blob(m.layer(0)).bytes), output = double(matrix_blob(m.output()).bytes);
  const Copies& copies = *device_of(streamed).copies();
  CHECK(report(streamed).planned_tokens_per_second == Approx(copies.copy_bytes_per_s() / (layers + output)));
  CHECK(report(ample).planned_tokens_per_second == Approx(copies.device_bytes_per_s() / (layers + output)));
  CHECK(device_of(streamed).copies()->pinned_bytes() >= int64_t(layers + output));
  CHECK(streamed.engine().impl().account.current_bytes(MemoryCategory::kWeights) >= int64_t(layers + output));
}

TEST_CASE("each category of a device's memory is planned as it is used, within 2 %", "[runtime][weights]") {
  const DeepModel model("qwen2", 7);
  for (const WeightPlace place : {WeightPlace::kAuto, WeightPlace::kHost}) {
    for (const char* policy : {"h2o", "none"}) {
      IngestBench bench(2, model.path(), Memory::kFenced, {place, 0});
      REQUIRE(bench.ingest("a", {text()}, IngestBench::options(policy)).ok());
      AskOptions options;
      options.gather_tokens = 96, options.edge_tokens = 8, options.sampling.max_new_tokens = 9;
      REQUIRE(ask(bench.engine(), bench.store(), {"a"}, "where are the stones?", options).ok());
      const MemoryReport report = bench.engine().memory();
      REQUIRE(report.gpu_categories.size() == size_t(MemoryCategory::kCount));
      for (const GpuCategory& c : report.gpu_categories) {
        CAPTURE(policy, c.name, c.planned_bytes, c.peak_bytes);
        CHECK(double(c.planned_bytes) == Approx(double(c.peak_bytes)).epsilon(0.02));
      }
    }
  }
}

TEST_CASE("weights' place is named auto, resident, host or file", "[runtime][weights]") {
  EngineOptions options;
  for (const char* right : {"", "auto", "resident", "host", "file"}) {
    options.gpu_weights = right;
    CHECK(options.validate().ok());
  }
  for (const char* wrong : {"gpu", "Host", "disk", "auto "}) {
    options.gpu_weights = wrong;
    CHECK(options.validate().code == Code::kUsage);
  }
}
