// The same model on the CPU and on a GPU: logits of every position, of a prefill and of single tokens after it.
#include <catch2/catch.hpp>

#include "runtime/engine/engine_impl.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/gpu.h"
#include "tests/support/skip.h"

using namespace reform;
using namespace reform::test;

namespace {

// [n_positions, n_vocab] on the engine's device: the first n_prefill in one call, the rest one by one.
std::vector<float> all_logits(Engine& handle, std::span<const int32_t> ids, int64_t n_prefill) {
  Engine::Impl& engine = handle.impl();
  Device& device = *engine.device;
  const ModelShape& s = engine.model->shape();
  const auto n = int64_t(ids.size());
  const auto session =
      take(engine.make_session<Transformer>(Transformer::limits(s, device, n_prefill, n), [&](const Site& site) {
        return Transformer::create(*engine.model, site, n_prefill, n);
      }));
  const auto& transformer = session.job;
  KvCache cache = take(KvCache::create(device.account(), KvView::Type::kF16, s.n_layers, s.n_kv_heads, s.head_dim, n));
  auto there = take(Buffer<float>::create(device.account(), MemoryCategory::kActivations, n_prefill * s.n_vocab));
  std::vector<float> all(size_t(n * s.n_vocab));
  for (int64_t begin = 0; begin < n;) {
    const int64_t rows = begin == 0 ? n_prefill : 1;
    ForwardArgs args;
    args.ids = ids.subspan(size_t(begin), size_t(rows)), args.cache = &cache, args.last_layer = s.n_layers - 1;
    const Status status = transformer->forward(args);
    INFO(status.message);
    REQUIRE(status.ok());
    REQUIRE(transformer->logits(rows, {there.data(), rows, s.n_vocab}).ok());
    REQUIRE(device.to_host(all.data() + begin * s.n_vocab, there.data(), rows * s.n_vocab * 4).ok());
    begin += rows;
  }
  return all;
}

struct Agreement {
  double min_cosine = 1, mean_cosine = 0;
  int64_t n_same_top = 0, n_positions = 0;
};

Agreement compare(std::span<const float> a, std::span<const float> b, int64_t n_vocab) {
  REQUIRE(a.size() == b.size());
  Agreement found;
  found.n_positions = int64_t(a.size()) / n_vocab;
  for (size_t at = 0; at < a.size(); at += size_t(n_vocab)) {
    const auto x = a.subspan(at, size_t(n_vocab)), y = b.subspan(at, size_t(n_vocab));
    const double c = cosine(x, y);
    found.min_cosine = c >= -1 ? std::min(found.min_cosine, c) : -1;  // a NaN is no agreement
    found.mean_cosine += c / double(found.n_positions);
    found.n_same_top += argmax(x) == argmax(y);
  }
  return found;
}

}  // namespace

TEST_CASE("logits are the same wherever the memory is, and a wrong one is noticed", "[runtime][device]") {
  IngestBench here, there(2, "qwen2", IngestBench::Memory::kFenced);
  const LogitsGolden golden = LogitsGolden::load(golden_path("logits_tiny_qwen2.bin"));
  const int64_t n_vocab = here.engine().impl().model->shape().n_vocab;
  std::vector<float> a = all_logits(here.engine(), golden.ids, 37);
  const std::vector<float> b = all_logits(there.engine(), golden.ids, 37);
  CHECK(a == b);
  CHECK(compare(a, b, n_vocab).n_same_top == golden.n_positions());
  a[size_t(n_vocab) * 5 + 3] += 100;
  CHECK(compare(a, b, n_vocab).min_cosine < 0.9);
  a[0] = std::nanf("");
  CHECK(compare(a, b, n_vocab).min_cosine == -1);
}

TEST_CASE("a real model's logits on a GPU are the CPU's", "[runtime][device][gpu][model]") {
  const std::string name = "smollm2-135m", path = real_model_path(name);
  if (path.empty()) return;
  EngineOptions options;
  const auto cpu = take(Engine::open(path, options));
  options.device = "auto", options.max_gpu_memory_bytes = int64_t{2} << 30;
  const auto gpu = take(Engine::open(path, options));
  if (gpu->impl().device->is_host()) {
    REQUIRE(!gpu_needed());
    return skip("no GPU, or built without CUDA");
  }
  const LogitsGolden golden = LogitsGolden::load(golden_path("logits_" + name + ".bin"));
  constexpr int64_t kPrefill = 160;
  const Agreement found = compare(all_logits(*cpu, golden.ids, kPrefill), all_logits(*gpu, golden.ids, kPrefill),
                                  cpu->impl().model->shape().n_vocab);
  // scripts/gpu_checks.py reads this line.
  WARN(name << " on " << gpu->impl().device->name() << " against " << cpu->impl().device->name() << ": cosine min "
            << found.min_cosine << ", mean " << found.mean_cosine << ", same top " << found.n_same_top << " of "
            << found.n_positions);
  CHECK(found.min_cosine >= 0.999);
}
