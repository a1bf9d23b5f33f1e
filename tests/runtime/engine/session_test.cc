// A job's plan equals its allocation: both come from the same code, run on a site that counts and on the real one.
#include <catch2/catch.hpp>

#include "runtime/compress/compress.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/gather/page_scorer.h"
#include "runtime/gather/scorer.h"
#include "runtime/heads/feature_pass.h"
#include "runtime/jobs/ask_method.h"
#include "runtime/recompute/decode.h"
#include "runtime/recompute/first_token.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/support/take.h"

namespace reform::test {
namespace {

using Memory = IngestBench::Memory;

constexpr MemoryCategory kJobCategories[] = {MemoryCategory::kKvCache, MemoryCategory::kActivations,
                                             MemoryCategory::kWorkspace, MemoryCategory::kIndex,
                                             MemoryCategory::kCheckpoint};

// Compares what is in use once the job is made with what was counted.
template <class Job, class Make>
void check_plan(Engine::Impl& engine, const OpLimits& limits, const Make& make) {
  JobPlan plan = test::take(count_job(*engine.device, limits, make));
  const auto session = test::take(engine.make_session<Job>(limits, make));
  MemoryPlan used = in_use(engine.account), used_there;
  if (&engine.device->account() != &engine.account) used_there = in_use(engine.device->account());
  for (const MemoryCategory c : kJobCategories) {
    INFO(name(c));
    CHECK(plan.host[c] == used[c]);
    CHECK(plan.device[c] == used_there[c]);
  }
  CHECK(plan.host.total_bytes() + plan.device.total_bytes() > 0);
}

TEST_CASE("a job's plan is to the byte what it allocates, wherever memory is", "[runtime][engine][device]") {
  const Memory memory = GENERATE(Memory::kHost, Memory::kFenced);
  IngestBench bench(2, "qwen2", memory);
  Engine::Impl& engine = bench.engine().impl();
  const ModelShape& shape = engine.model->shape();
  const Heads heads = test::take(engine.resolve_heads("", {}, nullptr)).heads;

  SECTION("compress") {
    const Policy& policy = policies()[size_t(GENERATE(range(0, int(policies().size()))))];
    CAPTURE(policy.name);
    const bool saves = GENERATE(false, true), full_depth = GENERATE(false, true);
    const CompressOptions options{.policy = &policy,
                                  .chunk_tokens = 173,
                                  .cache_tokens = 91,
                                  .sink_tokens = 4,
                                  .overlap_tokens = 17,
                                  .kv_type = engine.kv_type(),
                                  .saves = saves,
                                  .page_tokens = full_depth && memory == Memory::kHost ? 32 : 0,
                                  .full_depth = full_depth};
    const CompressSizes sizes = ingest_sizes(options);
    check_plan<Compressor>(engine, Compressor::limits(shape, *engine.device, sizes), [&](const Site& site) {
      return Compressor::create(*engine.model, site, heads, options, sizes);
    });
  }
  SECTION("score") {
    const EmbeddingLayout layout{int64_t(heads.size()), shape.head_dim};
    check_plan<Scorer>(engine, Scorer::limits(layout, 13),
                       [&](const Site& site) { return Scorer::create(site, layout, 13, 1021); });
  }
  SECTION("score passages") {
    const EmbeddingLayout layout{int64_t(heads.size()), shape.head_dim};
    check_plan<Scorer>(engine, Scorer::limits(layout, 13),
                       [&](const Site& site) { return make_late_scorer(site, layout, 13); });
  }
  SECTION("score pages") {
    if (memory == Memory::kHost) {
      check_plan<PageScorer>(engine, PageScorer::limits(shape, 13),
                             [&](const Site& site) { return PageScorer::create(site, shape, 13); });
    }
  }
  SECTION("recompute") {
    SamplingOptions sampling;
    sampling.max_new_tokens = 11;
    check_plan<Decoder>(engine, Decoder::limits(shape, *engine.device, 1301, 11), [&](const Site& site) {
      return Decoder::create(*engine.model, *engine.tokenizer, site, engine.kv_type(), 1301, {sampling});
    });
  }
  SECTION("an answer from stored slots") {
    SamplingOptions sampling;
    sampling.max_new_tokens = 11;
    check_plan<Decoder>(engine, Decoder::limits(shape, *engine.device, 31, 11, 517), [&](const Site& site) {
      return Decoder::create(*engine.model, *engine.tokenizer, site, engine.kv_type(), 31, {sampling}, 517);
    });
  }
  SECTION("first tokens") {
    check_plan<FirstToken>(engine, FirstToken::limits(shape, *engine.device, 1301), [&](const Site& site) {
      return FirstToken::create(*engine.model, site, engine.kv_type(), 1301);
    });
  }
  SECTION("the search for heads") {
    const SearchText text = test::take(make_search_text(*engine.tokenizer, engine.known_tokens(), 1, 512));
    const FeaturePassOptions options{.last_layer = 2, .bos = -1, .kv_type = engine.kv_type()};
    check_plan<FeaturePass>(engine, FeaturePass::limits(shape, *engine.device, text),
                            [&](const Site& site) { return FeaturePass::create(*engine.model, site, text, options); });
  }
}

}  // namespace
}  // namespace reform::test
