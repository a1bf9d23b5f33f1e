// FP8 products: only an ingest uses them, a context remembers them, and they are near enough to the CPU's.
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/cuda/cuda_ops.h"
#include "runtime/compress/embedding.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/jobs/settings.h"
#include "runtime/jobs/store_impl.h"
#include "tests/kernels/cuda/plain_codes.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/model_support.h"

using namespace reform;
using namespace reform::test;

namespace {

IngestOptions appending() {
  IngestOptions o = IngestBench::options("h2o");
  o.on_existing = IngestOptions::OnExisting::kAppend;
  return o;
}

Status ask_once(IngestBench& bench, const std::string& name) {
  AskOptions options;
  options.gather_tokens = 48, options.edge_tokens = 8, options.pool_window = 5;
  options.sampling.max_new_tokens = 2;
  return ask(bench.engine(), bench.store(), {name}, "where are the stones?", options).status();
}

std::string settings_of(IngestBench& bench, const std::string& name) {
  return bench.store().impl().contexts->find(name).value().meta.settings;
}

// The CPU's ops on memory of their own, and how many code weights each job asked for.
struct Watched {
  explicit Watched(IngestBench& bench) : impl(bench.engine().impl()) {
    bench.move_to(std::make_unique<FencedDevice>(
        "watched", true, 0,
        [this](const OpLimits& limits) { return cpu_workspace_bytes(impl.isa, limits, impl.pool->size()); },
        [this](const OpLimits& limits, std::span<std::byte> workspace, const int64_t*) {
          code_weights.push_back(limits.code_weights);
          return make_cpu_ops(impl.isa, limits, *impl.pool, workspace);
        }));
    CHECK(seen() == std::vector<int64_t>{0});  // from what the engine prepares for a decode
  }
  std::vector<int64_t> seen() { return std::exchange(code_weights, {}); }

  Engine::Impl& impl;
  std::vector<int64_t> code_weights;
};

TEST_CASE("FP8 products are an ingest's alone, and a context goes on as it was begun", "[runtime][device]") {
  IngestBench bench;
  Watched watched(bench);
  std::string& products = watched.impl.options.gpu_products;
  const int64_t all = watched.impl.model->shape().n_layers * kMatricesPerLayer;
  const std::string text = made_text(3, 900), more = "And then nobody counted them.";

  products = "fp8";
  REQUIRE(bench.ingest("fp8", {text}, IngestBench::options("h2o")).ok());
  CHECK(watched.seen() == std::vector<int64_t>{all});
  CHECK(settings_of(bench, "fp8").find("\"products\":\"fp8\"") != std::string::npos);
  REQUIRE(ask_once(bench, "fp8").ok());
  for (const int64_t n : watched.seen()) CHECK(n == 0);
  REQUIRE(bench.ingest("fp8", {more}, appending()).ok());
  CHECK(watched.seen() == std::vector<int64_t>{all});

  for (const char* others : {"", "half"}) {
    products = others;
    REQUIRE(ask_once(bench, "fp8").ok());
    const Status refused = bench.ingest("fp8", {more}, appending()).status();
    CHECK(refused.code == Code::kWrongModel);
    CHECK(refused.message.find("--gpu-products fp8") != std::string::npos);
  }
  REQUIRE(bench.ingest("usual", {text}, IngestBench::options("none")).ok());
  CHECK(settings_of(bench, "usual").find("products") == std::string::npos);
  watched.seen();
  products = "fp8";
  REQUIRE(bench.ingest("usual", {more}, appending()).ok());
  CHECK(watched.seen() == std::vector<int64_t>{0});
}

TEST_CASE("an unfinished replacement with other products is begun anew", "[runtime][device]") {
  IngestBench bench;
  Watched watched(bench);
  const std::string text = made_text(4, 1500);
  IngestOptions replacing = IngestBench::options("h2o");
  replacing.on_existing = IngestOptions::OnExisting::kReplace, replacing.checkpoint_seconds = 0;
  REQUIRE(bench.ingest("a", {made_text(5, 300)}, IngestBench::options("h2o")).ok());
  REQUIRE(bench.ingest_stopped("a", {text}, replacing, 3));
  watched.impl.options.gpu_products = "fp8";
  const auto replaced = bench.ingest("a", {text}, replacing);
  REQUIRE(replaced.ok());
  CHECK(replaced.value().tokens_run == replaced.value().context.n_tokens);
  CHECK(settings_of(bench, "a").find("\"products\":\"fp8\"") != std::string::npos);
}

TEST_CASE("settings that name other products than FP8 are damaged", "[runtime]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(6, 300)}, IngestBench::options("h2o")).ok());
  const std::string settings = settings_of(bench, "a");
  const auto with = [&](const std::string& key) { return "{" + key + "," + settings.substr(1); };
  CHECK_FALSE(parse_settings(settings, "a").value().fp8_products);
  CHECK(parse_settings(with("\"products\":\"fp8\""), "a").value().fp8_products);
  for (const char* other : {"\"products\":\"fp4\"", "\"products\":7", "\"products\":null"}) {
    CHECK(parse_settings(with(other), "a").status().code == Code::kCorrupt);
  }
}

TEST_CASE("FP8 products that cannot be had are an error, not another arithmetic", "[runtime][device]") {
  EngineOptions options;
  options.gpu_products = "fp4";
  CHECK(options.validate().code == Code::kUsage);
  options.gpu_products = "fp8";
  const auto engine = Engine::open(tiny_path("qwen2"), options);
  CHECK(engine.status().code == Code::kUnavailable);
  CHECK(engine.status().message.find("--gpu-products fp8") != std::string::npos);
  options.gpu_products = "half";
  CHECK(Engine::open(tiny_path("qwen2"), options).ok());
}

std::vector<std::byte> rows_of(IngestBench& bench, const std::string& name) {
  std::vector<std::byte> rows;
  const auto reader = bench.store().impl().contexts->open_reader(name);
  REQUIRE(reader.ok());
  REQUIRE(reader.value()
              ->scan(kEmbeddingRows,
                     [&](TokenRange, std::span<const std::byte> block) -> Status {
                       rows.insert(rows.end(), block.begin(), block.end());
                       return {};
                     })
              .ok());
  return rows;
}

TEST_CASE("FP8 products under emulation give rows near the CPU's", "[runtime][device]") {
  PlainCodes library;
  IngestBench here, there;
  there.move_to(fenced_emulated_cuda(&library));
  there.engine().impl().options.gpu_products = "fp8";
  for (IngestBench* bench : {&here, &there}) {
    REQUIRE(bench->ingest("a", {made_text(7, 90)}, IngestBench::options("none")).ok());
  }
  CHECK(library.n_code_calls > 0);
  CHECK(library.n_calls == 0);
  const std::vector<std::byte> a = rows_of(here, "a"), b = rows_of(there, "a");
  REQUIRE((a.size() == b.size() && !a.empty()));
  const ContextSettings settings = parse_settings(settings_of(here, "a"), "a").value();
  const EmbeddingLayout layout{int64_t(settings.heads.size()), settings.head_dim};
  double xy = 0, xx = 0, yy = 0;  // heads have length 127 or so, so a common sum weighs them alike
  for (int64_t row = 0; row < int64_t(a.size()) / layout.row_bytes(); ++row) {
    const int8_t *x = layout.values(a, row), *y = layout.values(b, row);
    for (int64_t i = 0; i < layout.n_heads * layout.head_dim; ++i) {
      xy += double(x[i]) * y[i], xx += double(x[i]) * x[i], yy += double(y[i]) * y[i];
    }
  }
  const double cosine = xy / std::sqrt(xx * yy);
  CHECK(cosine > 0.98);
  CHECK(cosine < 0.99999);
}

}  // namespace
