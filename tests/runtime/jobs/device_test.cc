// The whole job on a device whose memory is not the host's.
#include <catch2/catch.hpp>
#include <cmath>

#include "runtime/compress/embedding.h"
#include "runtime/compress/policies/policy.h"
#include "runtime/engine/engine_impl.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/gpu.h"
#include "tests/support/skip.h"

using namespace reform;
using namespace reform::test;

namespace {

std::string long_text() {
  std::string text;
  for (int i = 0; i < 90; ++i) text += "In year " + std::to_string(i) + " the stones of the harbour were counted. ";
  return text;
}

// The mean cosine of the head states in two strings of embedding rows.
double mean_cosine(const EmbeddingLayout& layout, const std::string& a, const std::string& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  const int64_t n = int64_t(a.size()) / layout.row_bytes() * layout.n_heads;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = i / layout.n_heads, begin = i % layout.n_heads * layout.head_dim;
    const int8_t* const x = layout.values(std::as_bytes(std::span(a)), row) + begin;
    const int8_t* const y = layout.values(std::as_bytes(std::span(b)), row) + begin;
    double xy = 0, xx = 0, yy = 0;
    for (int64_t k = 0; k < layout.head_dim; ++k) {
      xy += double(x[k]) * y[k], xx += double(x[k]) * x[k], yy += double(y[k]) * y[k];
    }
    sum += xy / std::sqrt(xx * yy);
  }
  return sum / double(n);
}

}  // namespace

TEST_CASE("a device with memory of its own: heads, ingest, append and ask give what the CPU's memory gives",
          "[runtime][device]") {
  for (const char* policy : {"h2o", "none"}) {
    CAPTURE(policy);
    IngestBench here, there(2, "qwen2", IngestBench::Memory::kFenced);
    for (IngestBench* bench : {&here, &there}) {
      REQUIRE(bench->ingest("a", {long_text()}, IngestBench::options(policy)).ok());
      IngestOptions more = IngestBench::options(policy);
      more.on_existing = IngestOptions::OnExisting::kAppend;
      REQUIRE(bench->ingest("a", {"And then nobody counted them."}, more).ok());
    }
    check_same(here.snapshot("a"), there.snapshot("a"));
    CHECK(there.engine().impl().device->account().peak_bytes(MemoryCategory::kKvCache) > 0);
    CHECK(there.engine().impl().account.peak_bytes(MemoryCategory::kKvCache) == 0);
  }
}

AskOptions few_tokens(float temperature) {
  AskOptions options;
  options.gather_tokens = 48, options.edge_tokens = 8, options.pool_window = 5;
  options.sampling.max_new_tokens = 9, options.sampling.temperature = temperature, options.sampling.seed = 7;
  return options;
}

TEST_CASE("a device with memory of its own answers with the CPU's words, greedily and by chance", "[runtime][device]") {
  IngestBench here, there(2, "qwen2", IngestBench::Memory::kFenced);
  for (const float temperature : {0.0f, 0.9f}) {
    std::string answers[2];
    for (IngestBench* bench : {&here, &there}) {
      const AskOptions options = few_tokens(temperature);
      if (temperature == 0.0f) REQUIRE(bench->ingest("a", {long_text()}, IngestBench::options("h2o")).ok());
      const auto answer = ask(bench->engine(), bench->store(), {"a"}, "where are the stones?", options);
      REQUIRE(answer.ok());
      answers[bench == &there] = answer.value().answer;
      CHECK_FALSE(answer.value().answer.empty());
    }
    CHECK(answers[0] == answers[1]);
  }
}

// The fenced device ends the test if a step has other kernels than were prepared.
TEST_CASE("each token's step is the kernels that were made ready when the engine was opened", "[runtime][device]") {
  for (const char* model : {"mistral_window", "qwen2", "gemma3"}) {
    CAPTURE(model);
    IngestBench bench(2, model);
    bench.move_to(fenced_emulated_cuda());
    const auto& device = static_cast<const FencedDevice&>(*bench.engine().impl().device);
    std::vector<const void*> kernels[2];
    for (const bool drawn : {false, true}) {
      const FencedDevice::Step& step = device.step(drawn ? StepKind::kDrawn : StepKind::kBest);
      CHECK(step.n_prepared == 1);
      CHECK(step.kernels.size() > 10);
      kernels[drawn] = step.kernels;
      GenerateOptions options;
      options.sampling.temperature = drawn ? 0.9 : 0, options.sampling.max_new_tokens = 3;
      options.sampling.ignore_end = true;
      REQUIRE(generate(bench.engine(), "a", options).ok());
      CHECK(step.n_run == 2);
    }
    CHECK(kernels[0] != kernels[1]);
  }
}

TEST_CASE("a decode is made ready only where the whole model stays", "[runtime][device]") {
  const auto n_prepared = [](int64_t cap_bytes, WeightPlace place) {
    IngestBench bench(2, "qwen2", IngestBench::Memory::kFenced, {place, cap_bytes});
    return static_cast<const FencedDevice&>(*bench.engine().impl().device).step(StepKind::kBest).n_prepared;
  };
  CHECK(n_prepared(0, WeightPlace::kAuto) == 1);
  CHECK(n_prepared(0, WeightPlace::kHost) == 0);
  IngestBench ample(2, "qwen2", IngestBench::Memory::kFenced);
  const MemoryAccount& account = ample.engine().impl().device->account();
  const int64_t weight_bytes = account.current_bytes(MemoryCategory::kWeights);
  CHECK(account.current_total_bytes() == weight_bytes);
  // Room for all weights and nothing beside them.
  CHECK(n_prepared(weight_bytes + (int64_t{20} << 10), WeightPlace::kAuto) == 0);
}

TEST_CASE("a policy that needs ops that the device lacks is refused by name, before anything is allocated",
          "[runtime][device][policy]") {
  IngestBench bench(2, "qwen2");
  std::vector<std::string> names;
  for (const Policy& policy : policies())
    if (policy.cpu_only) names.emplace_back(policy.name);
  REQUIRE(!names.empty());
  for (const std::string& name : names) REQUIRE(bench.ingest(name, {long_text()}, IngestBench::options(name)).ok());
  bench.move_to(fenced_emulated_cuda());
  Device& device = *bench.engine().impl().device;
  const int64_t peak_bytes = device.account().peak_total_bytes();
  const auto check_refused = [&](const Status& status, const std::string& name) {
    CHECK(status.code == Code::kUnavailable);
    CHECK(status.message ==
          "the policy " + name + " runs on the CPU only, and the model is on emulated cuda; use --device cpu");
  };
  for (const std::string& name : names) {
    CAPTURE(name);
    check_refused(bench.ingest("new", {long_text()}, IngestBench::options(name)).status(), name);
    CHECK_FALSE(bench.store().find("new").ok());
    IngestOptions more = IngestBench::options(name);
    more.on_existing = IngestOptions::OnExisting::kAppend;
    check_refused(bench.ingest(name, {"More."}, more).status(), name);
    check_refused(ask(bench.engine(), bench.store(), {name}, "where are the stones?", few_tokens(0)).status(), name);
  }
  CHECK(device.account().peak_total_bytes() == peak_bytes);
  for (const Policy& policy : policies()) CHECK(check_policy(policy, device).ok() == !policy.cpu_only);
}

TEST_CASE("a device that fails while it works is one clear error", "[runtime][device]") {
  IngestBench bench(2, "qwen2", IngestBench::Memory::kFenced);
  REQUIRE(bench.ingest("a", {long_text()}, IngestBench::options("h2o")).ok());
  auto& device = static_cast<FencedDevice&>(*bench.engine().impl().device);
  AskOptions options;
  options.gather_tokens = 48, options.edge_tokens = 8, options.pool_window = 5;
  options.sampling.max_new_tokens = 4;
  int n_failed = 0;
  for (int64_t n = 0;; n = 2 * n + 1) {
    device.fail_after(n);
    const auto answer = ask(bench.engine(), bench.store(), {"a"}, "where are the stones?", options);
    if (answer.ok()) break;
    CHECK(answer.status().code == Code::kUnavailable);
    ++n_failed;
    REQUIRE(n < 100'000);
  }
  CHECK(n_failed > 3);
  for (int64_t n = 0;; n = 2 * n + 1) {
    device.fail_after(n);
    const auto ingested = bench.ingest("b", {long_text()}, IngestBench::options("h2o"));
    if (ingested.ok()) break;
    CHECK(ingested.status().code == Code::kUnavailable);
    REQUIRE(n < 100'000);
  }
  device.fail_after(FencedDevice::kNever);
  // Only the model is left.
  MemoryAccount& account = device.account();
  CHECK(account.current_total_bytes() == account.current_bytes(MemoryCategory::kWeights));
  CHECK(bench.ingest("b", {long_text()}, IngestBench::options("h2o")).ok());
}

TEST_CASE("a device with too little memory is told before the work, with what would fit", "[runtime][device]") {
  IngestBench bench(2, "qwen2");
  Engine::Impl& impl = bench.engine().impl();
  const auto move_to = [&](int64_t cap_bytes) {
    impl.device = fenced_cpu(impl.isa, *impl.pool, cap_bytes);
    return impl.model->move_to(*impl.device, impl.account, WeightPlace::kAuto);
  };
  CHECK(move_to(1000).code == Code::kMemoryCap);
  IngestBench other(2, "qwen2");
  Engine::Impl& engine = other.engine().impl();
  engine.device = fenced_cpu(engine.isa, *engine.pool, 300'000);
  REQUIRE(engine.model->move_to(*engine.device, engine.account, WeightPlace::kAuto).ok());
  const auto refused = other.ingest("a", {long_text()}, IngestBench::options("h2o"));
  CHECK(refused.status().code == Code::kMemoryCap);
  CHECK(refused.status().message.find("fenced cpu: this needs") != std::string::npos);
  CHECK(refused.status().message.find("--chunk-tokens") != std::string::npos);
}

TEST_CASE("a GPU, where there is one, finds and answers what the CPU does", "[runtime][device]") {
  IngestBench here, there(2, "qwen2", IngestBench::Memory::kGpu);
  if (there.engine().impl().device->is_host()) {
    REQUIRE(!gpu_needed());
    return skip("no GPU, or built without CUDA");
  }
  for (const char* policy : {"recent", "none"}) {
    for (IngestBench* bench : {&here, &there}) {
      REQUIRE(bench->ingest(policy, {long_text()}, IngestBench::options(policy)).ok());
    }
    const Snapshot a = here.snapshot(policy), b = there.snapshot(policy);
    CHECK(a.ids == b.ids);
    Engine::Impl& engine = here.engine().impl();
    const Heads heads = take(engine.resolve_heads("", {}, nullptr)).heads;
    CHECK(mean_cosine({int64_t(heads.size()), engine.model->shape().head_dim}, a.rows, b.rows) > 0.999);
  }
  REQUIRE(there.ingest("h2o", {long_text()}, IngestBench::options("h2o")).ok());
  for (const float temperature : {0.0f, 0.9f}) {
    for (const char* policy : {"recent", "none", "h2o"}) {
      const auto answer =
          ask(there.engine(), there.store(), {policy}, "where are the stones?", few_tokens(temperature));
      INFO(policy << ": " << answer.status().message);
      REQUIRE(answer.ok());
      CHECK_FALSE(answer.value().answer.empty());
    }
  }
}

TEST_CASE("a device is named cpu, auto or cuda:N, and what is not there is said", "[runtime][device]") {
  for (const char* wrong : {"gpu", "cuda", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999", "CPU"}) {
    CAPTURE(wrong);
    EngineOptions options;
    options.device = wrong;
    CHECK(Engine::open(tiny_path("qwen2"), options).status().code == Code::kUsage);
  }
  EngineOptions options;
  options.device = "auto";
  std::string said;
  const auto engine =
      Engine::open(tiny_path("qwen2"), options, [&](LogLevel, const std::string& line) { said += line; });
  REQUIRE(engine.ok());
  CHECK(said.find("the model runs on " +
                  std::string(engine.value()->model().device == "cpu" ? "the CPU: " : "cuda:")) == 0);
  options.device = "cpu";
  options.gpu_weights = "host", options.cublas_lt_file = "/nowhere";
  said.clear();
  REQUIRE(Engine::open(tiny_path("qwen2"), options, [&](LogLevel, const std::string& line) { said += line; }).ok());
  CHECK(said == "the model runs on the CPU; ignored there: --gpu-weights, --cublas-lt");
  options.device = "cuda:4321";
  CHECK(Engine::open(tiny_path("qwen2"), options).status().code == Code::kUnavailable);
}
