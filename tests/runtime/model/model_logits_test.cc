// Logits against transformers on the dequantised weights (scripts/make_logits_golden.py, make_tiny_gguf.py).
#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "tests/runtime/support/model_support.h"

namespace reform::test {
namespace {

TEST_CASE("tiny models of every architecture: logits match transformers on every isa", "[runtime][logits]") {
  for (const std::string& name : tiny_names()) {
    const LogitsGolden golden = LogitsGolden::load(golden_path("logits_tiny_" + name + ".bin"));
    for (const Isa isa : supported_isas()) {
      LoadedModel m(tiny_path(name), isa, 64, 64);
      const bool exact = isa == Isa::kRef;
      const auto a =
          compare_logits(m, golden, golden.n_positions(), 47, exact ? KvView::Type::kF32 : KvView::Type::kF16);
      INFO(name << " on " << reform::name(isa) << ": cosine min " << a.min_cosine << ", mean " << a.mean_cosine
                << ", same top " << a.n_same_top << " of " << a.n_positions << ", lse off by " << a.max_lse_error);
      // Random weights amplify rounding (of the FP16 KV cache, too); a wrong window, rotation or norm is below 0.9.
      CHECK(a.min_cosine >= (exact ? 0.999999 : 0.999));
      CHECK(a.max_lse_error <= (exact ? 1e-4 : 0.2));
      if (exact) CHECK(a.n_wrong_top == 0);
    }
  }
}

void check_reference_path(const std::string& name, int64_t n_positions) {
  const std::string path = real_model_path(name);
  if (path.empty()) return;
  const LogitsGolden golden = LogitsGolden::load(golden_path("logits_" + name + ".bin"));
  LoadedModel m(path, Isa::kRef, 256, 256);
  n_positions = std::min(n_positions, golden.n_positions());
  const auto a = compare_logits(m, golden, n_positions, n_positions, KvView::Type::kF32);
  WARN(name << ", reference: cosine min " << a.min_cosine << ", lse off by " << a.max_lse_error << ", same top "
            << a.n_same_top << " of " << a.n_positions);
  CHECK(a.min_cosine >= 0.99999);
  CHECK(a.n_wrong_top == 0);
  CHECK(a.max_lse_error <= 2e-3);
}

// Checks as many positions as the scalar reference does in some seconds.
void check_first_positions(const std::string& name) {
  static const std::map<std::string, int64_t> n_positions = {
      {"smollm2-135m", 24}, {"gemma3-270m", 8}, {"qwen2.5-coder-0.5b", 6}, {"qwen2.5-coder-1.5b", 2}};
  check_reference_path(name, n_positions.at(name));
}
REFORM_REAL_MODEL_CASES("the reference path's first logits are transformers'", "[runtime][logits][model]",
                        check_first_positions)

void check_all_positions(const std::string& name) { check_reference_path(name, INT64_MAX); }
REFORM_REAL_MODEL_CASES("the reference path's logits are transformers' at all positions", "[.slow][logits][model]",
                        check_all_positions)

void check_fast_path(const std::string& model_name) {
  const std::string path = real_model_path(model_name);
  if (path.empty()) return;
  const LogitsGolden golden = LogitsGolden::load(golden_path("logits_" + model_name + ".bin"));
  LoadedModel m(path, best_isa(), 256, 256);
  const auto a = compare_logits(m, golden, golden.n_positions(), 160, KvView::Type::kF16);
  WARN(model_name << ", " << name(best_isa()) << ": cosine min " << a.min_cosine << ", mean " << a.mean_cosine
                  << ", lse off by " << a.max_lse_error << ", same top " << a.n_same_top << " of " << a.n_positions);
  CHECK(a.min_cosine >= 0.999);
  CHECK(a.n_same_top >= 195 * a.n_positions / 200);
}

REFORM_REAL_MODEL_CASES("the fast path's logits stay close to transformers'", "[runtime][logits][model]",
                        check_fast_path)

void check_perplexity(const std::string& model_name) {
  const std::string path = real_model_path(model_name);
  if (path.empty()) return;
  const LogitsGolden golden = LogitsGolden::load(golden_path("logits_" + model_name + ".bin"));
  const int64_t window = golden.window_tokens, n_windows = int64_t(golden.ppl_ids.size()) / window;
  LoadedModel m(path, best_isa(), 512, window);
  KvCache cache = m.make_cache(KvView::Type::kF16);
  double nll = 0;
  for (int64_t w = 0; w < n_windows; ++w) {
    const auto ids = std::span<const int32_t>(golden.ppl_ids).subspan(size_t(w * window), size_t(window));
    cache.set_kv_len(0);
    m.run(ids, cache, 512, true, [&](int64_t first, MatView<const float> logits) {
      for (int64_t i = 0; i < logits.rows && first + i + 1 < window; ++i) {
        const std::span<const float> row(logits.row(i), size_t(golden.n_vocab));
        nll += log_sum_exp(row) - row[size_t(ids[size_t(first + i + 1)])];
      }
    });
  }
  const double got = std::exp(nll / double(n_windows * (window - 1))), want = std::exp(golden.mean_nll);
  WARN(model_name << ": perplexity " << got << ", transformers " << want);
  CHECK(std::abs(got / want - 1) <= 0.01);
}
REFORM_REAL_MODEL_CASES("perplexity over 8k tokens is transformers' within 1 %", "[.slow][logits][model]",
                        check_perplexity)

}  // namespace
}  // namespace reform::test
