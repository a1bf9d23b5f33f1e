// Models and golden logits for the tests of model, transformer and what is built on them.
#pragma once

#include <catch2/catch.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "kernels/device.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model.h"
#include "runtime/model/transformer.h"
#include "tests/support/files.h"
#include "tests/support/take.h"

namespace reform::test {

// What scripts/make_logits_golden.py and make_tiny_gguf.py recorded from transformers.
struct LogitsGolden {
  int64_t n_vocab = 0, n_top = 0, window_tokens = 0;
  double mean_nll = 0;           // of ppl_ids, in windows of window_tokens
  std::vector<int32_t> ids;      // [n_positions]
  std::vector<int32_t> rows;     // [n_rows] of the vocabulary
  std::vector<int32_t> ppl_ids;  // [n_windows * window_tokens]
  std::vector<float> lse;        // [n_positions]
  std::vector<int32_t> top_ids;  // [n_positions, n_top]
  std::vector<float> top;        // [n_positions, n_top]
  std::vector<float> logits;     // [n_positions, n_rows]

  static LogitsGolden load(const std::string& path);
  int64_t n_positions() const { return int64_t(ids.size()); }
  int64_t n_rows() const { return int64_t(rows.size()); }
};

// tests/golden/tiny_<name>.gguf: every architecture, 2 or 3 random layers.
const std::vector<std::string>& tiny_names();
std::string tiny_path(const std::string& name);
// models/<name>.gguf; when it is not there, skips the test case and returns "".
std::string real_model_path(const std::string& name);

// One test case per model, so that a missing model skips only its own cases. They are named "NAME: CLAIM" and call
// CHECK("NAME").
#define REFORM_REAL_MODEL_CASE(name, claim, tags, check) \
  TEST_CASE(name ": " claim, tags) { check(name); }
#define REFORM_REAL_MODEL_CASES(claim, tags, check)                \
  REFORM_REAL_MODEL_CASE("smollm2-135m", claim, tags, check)       \
  REFORM_REAL_MODEL_CASE("gemma3-270m", claim, tags, check)        \
  REFORM_REAL_MODEL_CASE("qwen2.5-coder-0.5b", claim, tags, check) \
  REFORM_REAL_MODEL_CASE("qwen2.5-coder-1.5b", claim, tags, check)

// Every instruction set this machine runs, the reference first.
std::vector<Isa> supported_isas();

// A model with its file and the Ops of one ISA, with room for max_tokens rows in one call and max_kv_len slots.
struct LoadedModel {
  LoadedModel(const std::string& path, Isa isa, int64_t max_tokens, int64_t max_kv_len);

  const ModelShape& shape() const { return model->shape(); }
  KvCache make_cache(KvView::Type type, int64_t n_layers);
  KvCache make_cache(KvView::Type type) { return make_cache(type, shape().n_layers); }
  // All layers over `ids`, `chunk` tokens in each call, appended to the cache.
  // Returns the logits of all positions, [ids.size(), n_vocab].
  std::vector<float> run(std::span<const int32_t> ids, KvCache& cache, int64_t chunk, bool rotated_keys = true);
  // The same, a chunk's logits at a time; nothing is kept.
  void run(std::span<const int32_t> ids, KvCache& cache, int64_t chunk, bool rotated_keys,
           const std::function<void(int64_t first_position, MatView<const float> logits)>& fn);

  MemoryAccount account;
  ThreadPool pool{2};
  std::unique_ptr<Device> device;
  std::unique_ptr<Gguf> gguf;
  std::unique_ptr<Model> model;
  Buffer<std::byte> workspace;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Transformer> transformer;
  SlotBias slot_bias;  // of run(), if set
  int64_t max_kv_len;
};

double log_sum_exp(std::span<const float> logits);
int64_t argmax(std::span<const float> logits);
double cosine(std::span<const float> a, std::span<const float> b);

// How a run of a golden's first positions agrees with it.
struct LogitsAgreement {
  int64_t n_positions = 0, n_same_top = 0;
  int64_t n_wrong_top = 0;  // another top token, although the reference's gap is over 1e-3
  double min_cosine = 1, mean_cosine = 0, max_lse_error = 0;
};
// Runs n_positions: the first n_prefill in calls of at most n_prefill rows, the rest one by one, as a generation
// does.
LogitsAgreement compare_logits(LoadedModel& m, const LogitsGolden& golden, int64_t n_positions, int64_t n_prefill,
                               KvView::Type cache_type);

}  // namespace reform::test
