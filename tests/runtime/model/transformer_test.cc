#include "runtime/model/transformer.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "kernels/counting_site.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

constexpr KvView::Type kF32 = KvView::Type::kF32, kF16 = KvView::Type::kF16;
// More than one block of an op's rows (512), and not a multiple of it.
constexpr int64_t kLongTokens = 601;

std::vector<int32_t> random_ids(int64_t n, int64_t n_vocab, uint32_t seed) {
  std::mt19937 rng(seed);
  std::vector<int32_t> ids(static_cast<size_t>(n));
  for (int32_t& id : ids) id = int32_t(rng() % uint32_t(n_vocab));
  return ids;
}

using States = std::map<int64_t, std::vector<float>>;  // by layer: q, k, v one after another

ForwardHooks capture_states(States& states) {
  ForwardHooks hooks;
  hooks.on_states = [&states](int64_t layer, const LayerStates& s) {
    for (const MatView<const float>& x : {s.q, s.k, s.v}) {
      for (int64_t t = 0; t < x.rows; ++t) states[layer].insert(states[layer].end(), x.row(t), x.row(t) + x.cols);
    }
  };
  return hooks;
}

TEST_CASE("transformer: any chunks, prefill or decode, give one prefill's logits", "[runtime][transformer]") {
  for (const std::string& name : tiny_names()) {
    LoadedModel m(tiny_path(name), Isa::kRef, 64, 64);
    const auto ids = random_ids(61, m.shape().n_vocab, 11);
    KvCache whole_cache = m.make_cache(kF32);
    const std::vector<float> whole = m.run(ids, whole_cache, 61);
    CHECK(whole_cache.kv_len() == 61);
    for (const bool rotated : {true, false}) {
      for (const int64_t chunk : {61, 23, 7, 1}) {
        INFO(name << ", chunks of " << chunk << (rotated ? "" : ", un-rotated keys"));
        KvCache cache = m.make_cache(kF32);
        const std::vector<float> got = m.run(ids, cache, chunk, rotated);
        // At most the same sums in another order, and a key rotated before or after it is stored, all in FP32.
        CHECK(compare(got, whole, {.abs = 1e-3, .rel = 1e-4}));
      }
    }
  }
}

TEST_CASE("transformer: rows of one long call, run in blocks, equal those of short calls", "[runtime][transformer]") {
  for (const char* name : {"gemma3", "llama3"}) {
    LoadedModel m(tiny_path(name), Isa::kRef, kLongTokens, kLongTokens);
    const auto ids = random_ids(kLongTokens, m.shape().n_vocab, 12);
    for (const bool rotated : {true, false}) {
      INFO(name << (rotated ? "" : ", un-rotated keys"));
      KvCache whole_cache = m.make_cache(kF32), cache = m.make_cache(kF32);
      const std::vector<float> whole = m.run(ids, whole_cache, kLongTokens, rotated);
      CHECK(compare(m.run(ids, cache, 200, rotated), whole, {.abs = 1e-3, .rel = 1e-4}));
    }
  }
}

TEST_CASE("transformer: an early exit gives the full run's states, and needs no cache above",
          "[runtime][transformer]") {
  for (const std::string& name : tiny_names()) {
    LoadedModel m(tiny_path(name), Isa::kRef, 32, 64);
    const auto ids = random_ids(41, m.shape().n_vocab, 13);
    const std::span<const int32_t> first = std::span(ids).first(29), second = std::span(ids).subspan(29);
    States full;
    KvCache full_cache = m.make_cache(kF16);
    const int64_t top = m.shape().n_layers - 1;
    for (const auto chunk : {first, second}) {
      REQUIRE(m.transformer
                  ->forward({.ids = chunk, .cache = &full_cache, .rotated_keys = false, .last_layer = top},
                            capture_states(full))
                  .ok());
    }
    REQUIRE(int64_t(full.size()) == m.shape().n_layers);
    for (int64_t last = 0; last <= top; ++last) {
      INFO(name << " up to layer " << last);
      States early;
      KvCache cache = m.make_cache(kF16, last);
      for (const auto chunk : {first, second}) {
        REQUIRE(
            m.transformer
                ->forward(
                    {.ids = chunk, .cache = &cache, .rotated_keys = false, .last_layer = last, .stop_at_states = true},
                    capture_states(early))
                .ok());
      }
      CHECK(cache.kv_len() == 41);
      REQUIRE(int64_t(early.size()) == last + 1);
      for (const auto& [layer, states] : early) CHECK(same_bits(states, full[layer]));
    }
  }
}

TEST_CASE("transformer: states are before RoPE, of the shapes promised", "[runtime][transformer]") {
  LoadedModel m(tiny_path("qwen3"), Isa::kRef, 32, 64);
  const ModelShape& s = m.shape();
  const auto ids = random_ids(5, s.n_vocab, 14);
  // The same token in other slots has the same states in layer 0, where nothing is attended to yet.
  const std::vector<int32_t> repeated(5, ids[0]);
  KvCache cache = m.make_cache(kF32);
  int64_t n_layers_seen = 0;
  ForwardHooks hooks;
  hooks.on_states = [&](int64_t layer, const LayerStates& states) {
    CHECK(layer == n_layers_seen++);
    CHECK((states.q.rows == 5 && states.k.rows == 5 && states.v.rows == 5));
    CHECK(states.q.cols == s.n_heads * s.head_dim);
    CHECK((states.k.cols == s.n_kv_heads * s.head_dim && states.v.cols == s.n_kv_heads * s.head_dim));
    if (layer > 0) return;
    for (const MatView<const float>& x : {states.q, states.k, states.v}) {
      const std::span<const float> row0(x.row(0), size_t(x.cols)), row4(x.row(4), size_t(x.cols));
      CHECK(same_bits(row4, row0));
    }
  };
  REQUIRE(m.transformer->forward({.ids = repeated, .cache = &cache, .last_layer = s.n_layers - 1}, hooks).ok());
  CHECK(n_layers_seen == s.n_layers);
}

TEST_CASE("transformer: the attention hook sees the whole call, and its log-sum-exps", "[runtime][transformer]") {
  for (const bool rotated : {true, false}) {
    LoadedModel m(tiny_path("gemma3"), Isa::kRef, kLongTokens, kLongTokens + 9);
    const ModelShape& s = m.shape();
    KvCache cache = m.make_cache(kF32);
    m.run(random_ids(9, s.n_vocab, 15), cache, 9, rotated);  // so that the call starts at slot 9
    std::vector<float> out(size_t(kLongTokens * s.n_heads * s.head_dim)), lse(size_t(s.n_heads * kLongTokens));
    int64_t n_layers_seen = 0;
    ForwardHooks hooks;
    hooks.on_attention = [&](int64_t layer, const AttentionArgs& args, MatView<const float> got) {
      CHECK(layer == n_layers_seen++);
      CHECK((args.q.rows == kLongTokens && args.kv.kv_len == kLongTokens + 9));
      CHECK((args.key_rope == nullptr) == rotated);
      CHECK(args.window == (s.is_local[size_t(layer)] ? s.window : 0));
      m.ops->attention(args, {out.data(), kLongTokens, s.n_heads * s.head_dim}, {lse.data(), s.n_heads, kLongTokens});
      CHECK(compare({got.data, lse.size()}, std::span<const float>(lse), {.abs = 1e-5, .rel = 1e-6}));
    };
    const auto ids = random_ids(kLongTokens, s.n_vocab, 16);
    const ForwardArgs args = {.ids = ids, .cache = &cache, .rotated_keys = rotated, .last_layer = s.n_layers - 1};
    REQUIRE(m.transformer->forward(args, hooks).ok());
    CHECK(n_layers_seen == s.n_layers);
  }
}

TEST_CASE("transformer: a cancelled call leaves the cache's length, and can be made again", "[runtime][transformer]") {
  LoadedModel m(tiny_path("llama3"), Isa::kRef, 32, 64);
  const auto ids = random_ids(40, m.shape().n_vocab, 17);
  const std::span<const int32_t> first = std::span(ids).first(17), second = std::span(ids).subspan(17);
  KvCache undisturbed = m.make_cache(kF16), cache = m.make_cache(kF16);
  m.run(first, undisturbed, 17);
  const std::vector<float> want = m.run(second, undisturbed, 23);

  m.run(first, cache, 17);
  const ForwardArgs args = {.ids = second, .cache = &cache, .last_layer = m.shape().n_layers - 1};
  std::vector<double> steps;
  ForwardHooks hooks;
  hooks.on_progress = [&](double done) { steps.push_back(done); };
  REQUIRE(m.transformer->forward(args, hooks).ok());
  REQUIRE(steps.size() >= size_t(3 * m.shape().n_layers));
  CHECK(std::ranges::is_sorted(steps));
  CHECK((steps.front() > 0 && steps.back() == 1));

  const size_t n_steps = steps.size();
  for (size_t stop = 1; stop <= n_steps; ++stop) {
    cache.set_kv_len(17);
    CancelToken token;
    steps.clear();
    hooks.cancel = &token;
    hooks.on_progress = [&](double done) {
      steps.push_back(done);
      if (steps.size() == stop) token.cancel();
    };
    CHECK(m.transformer->forward(args, hooks).code == Code::kCancelled);
    CHECK(steps.size() == stop);
    CHECK(cache.kv_len() == 17);
  }
  CHECK(same_bits(m.run(second, cache, 23), want));
}

TEST_CASE("transformer: a token outside the vocabulary is refused", "[runtime][transformer]") {
  LoadedModel m(tiny_path("qwen2"), Isa::kRef, 32, 64);
  KvCache cache = m.make_cache(kF16);
  for (const int32_t id : {-1, int32_t(m.shape().n_vocab), INT32_MAX}) {
    const std::vector<int32_t> ids = {3, id};
    const Status status = m.transformer->forward({.ids = ids, .cache = &cache, .last_layer = 0});
    CHECK(status.code == Code::kCorrupt);
    CHECK(status.message.find(std::to_string(id)) != std::string::npos);
    CHECK(cache.kv_len() == 0);
  }
}

TEST_CASE("transformer: its wide activations are of a block of rows, however long the call", "[runtime][transformer]") {
  LoadedModel m(tiny_path("qwen2"), Isa::kRef, kLongTokens, kLongTokens);
  CountingSite counted(*m.device);
  REQUIRE(Transformer::create(*m.model, counted.site(), 10000, 10000).ok());
  // Ten times the tokens take less than ten times the memory.
  const ModelShape& s = m.shape();
  const int64_t per_token = 4 * (s.d_model + 2 * s.n_heads * s.head_dim + 2 * s.n_kv_heads * s.head_dim);
  CHECK(counted.host_account().peak_bytes(MemoryCategory::kActivations) <
        10000 * per_token + 4 * 600 * (s.d_ff * 2 + 3 * s.d_model));
}

}  // namespace
}  // namespace reform::test
