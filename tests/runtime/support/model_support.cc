#include "tests/runtime/support/model_support.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <fstream>

#include "base/float16.h"
#include "runtime/model/weights/plan.h"
#include "tests/support/skip.h"

namespace reform::test {
namespace {

struct GoldenHeader {
  char magic[4];
  int32_t n_vocab, n_positions, n_rows, n_top, n_ppl, window_tokens;
  char nll[8];
};
static_assert(sizeof(GoldenHeader) == 36);

}  // namespace

LogitsGolden LogitsGolden::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  INFO(path);
  REQUIRE(file.good());
  GoldenHeader header;
  file.read(reinterpret_cast<char*>(&header), sizeof(header));
  REQUIRE(std::memcmp(header.magic, "RLOG", 4) == 0);
  LogitsGolden g;
  g.n_vocab = header.n_vocab, g.n_top = header.n_top, g.window_tokens = header.window_tokens;
  std::memcpy(&g.mean_nll, header.nll, sizeof(double));
  auto read = [&](auto& values, int64_t n) {
    values.resize(size_t(n));
    file.read(reinterpret_cast<char*>(values.data()), std::streamsize(values.size() * sizeof(values[0])));
  };
  std::vector<uint16_t> halves;
  read(g.ids, header.n_positions);
  read(g.rows, header.n_rows);
  read(g.ppl_ids, header.n_ppl);
  read(g.lse, header.n_positions);
  read(g.top_ids, int64_t(header.n_positions) * header.n_top);
  read(g.top, int64_t(header.n_positions) * header.n_top);
  read(halves, int64_t(header.n_positions) * header.n_rows);
  REQUIRE(file.good());
  g.logits.resize(halves.size());
  std::ranges::transform(halves, g.logits.begin(), f16_to_f32);
  return g;
}

const std::vector<std::string>& tiny_names() {
  static const std::vector<std::string> names = {"llama3", "llama2_linear", "mistral_nemo", "mistral_window",
                                                 "qwen2",  "qwen3",         "gemma3"};
  return names;
}

std::string tiny_path(const std::string& name) { return golden_path("tiny_" + name + ".gguf"); }

std::string real_model_path(const std::string& name) {
  std::string path = model_path(name + ".gguf");
  if (std::ifstream(path).good()) return path;
  skip("models/" + name + ".gguf is not there; `./dev model " + name + "` fetches it");
  return "";
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kIsas) {
    if (isa_supported(isa)) isas.push_back(isa);
  }
  return isas;
}

LoadedModel::LoadedModel(const std::string& path, Isa isa, int64_t max_tokens, int64_t n_slots) : max_kv_len(n_slots) {
  gguf = take(Gguf::open(path));
  model = take(Model::create(*gguf));
  const ModelShape& s = model->shape();
  device = make_cpu_device(isa, pool, account);
  REQUIRE(model->move_to(*device, account, WeightPlace::kAuto).ok());
  const OpLimits limits = {.max_tokens = std::min(max_tokens, device->block_tokens()),
                           .max_cols = std::max({s.d_model, s.d_ff, s.n_heads * s.head_dim}),
                           .max_kv_len = max_kv_len,
                           .n_heads = s.n_heads,
                           .n_kv_heads = s.n_kv_heads,
                           .head_dim = s.head_dim};
  workspace = take(Buffer<std::byte>::create(account, MemoryCategory::kWorkspace, device->workspace_bytes(limits)));
  ops = device->make_ops(limits, workspace.span());
  transformer = take(Transformer::create(*model, {*device, ops.get(), account}, max_tokens, max_kv_len));
}

KvCache LoadedModel::make_cache(KvView::Type type, int64_t n_layers) {
  return take(KvCache::create(account, type, n_layers, shape().n_kv_heads, shape().head_dim, max_kv_len));
}

void LoadedModel::run(std::span<const int32_t> ids, KvCache& cache, int64_t chunk, bool rotated_keys,
                      const std::function<void(int64_t, MatView<const float>)>& fn) {
  std::vector<float> logits(size_t(chunk * shape().n_vocab));
  const int64_t n = int64_t(ids.size());
  for (int64_t begin = 0; begin < n; begin += chunk) {
    const int64_t rows = std::min(chunk, n - begin);
    const MatView<float> out(logits.data(), rows, shape().n_vocab);
    const Status status = transformer->forward({.ids = ids.subspan(size_t(begin), size_t(rows)),
                                                .cache = &cache,
                                                .rotated_keys = rotated_keys,
                                                .last_layer = shape().n_layers - 1,
                                                .slot_bias = slot_bias});
    INFO(status.message);
    REQUIRE(status.ok());
    REQUIRE(transformer->logits(rows, out).ok());
    fn(begin, out);
  }
}

std::vector<float> LoadedModel::run(std::span<const int32_t> ids, KvCache& cache, int64_t chunk, bool rotated_keys) {
  std::vector<float> all;
  run(ids, cache, chunk, rotated_keys, [&](int64_t, MatView<const float> logits) {
    all.insert(all.end(), logits.data, logits.data + logits.rows * logits.cols);
  });
  return all;
}

double log_sum_exp(std::span<const float> logits) {
  const double top = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float x : logits) sum += std::exp(double(x) - top);
  return top + std::log(sum);
}

int64_t argmax(std::span<const float> logits) { return std::ranges::max_element(logits) - logits.begin(); }

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double(a[i]) * b[i], aa += double(a[i]) * a[i], bb += double(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

LogitsAgreement compare_logits(LoadedModel& m, const LogitsGolden& golden, int64_t n_positions, int64_t n_prefill,
                               KvView::Type cache_type) {
  REQUIRE(m.shape().n_vocab >= golden.n_vocab);
  LogitsAgreement a;
  a.n_positions = n_positions;
  std::vector<float> got(golden.rows.size());
  const auto take_row = [&](size_t position, std::span<const float> row) {
    for (size_t r = 0; r < got.size(); ++r) got[r] = row[size_t(golden.rows[r])];
    const double c = cosine(got, std::span(golden.logits).subspan(position * got.size(), got.size()));
    a.min_cosine = std::isfinite(c) ? std::min(a.min_cosine, c) : -1;
    a.mean_cosine += c / double(n_positions);
    a.max_lse_error = std::max(a.max_lse_error, std::abs(log_sum_exp(row) - golden.lse[position]));
    const float* top = golden.top.data() + position * size_t(golden.n_top);
    const bool same = argmax(row) == golden.top_ids[position * size_t(golden.n_top)];
    a.n_same_top += same;
    a.n_wrong_top += !same && top[0] - top[1] > 1e-3f;
  };
  KvCache cache = m.make_cache(cache_type);
  const auto run = [&](int64_t begin, int64_t end, int64_t chunk) {
    const auto ids = std::span<const int32_t>(golden.ids).subspan(size_t(begin), size_t(end - begin));
    m.run(ids, cache, chunk, true, [&](int64_t first, MatView<const float> logits) {
      for (int64_t i = 0; i < logits.rows; ++i) {
        take_row(size_t(begin + first + i), {logits.row(i), size_t(golden.n_vocab)});
      }
    });
  };
  n_prefill = std::min(n_prefill, n_positions);
  if (n_prefill > 0) run(0, n_prefill, n_prefill);
  if (n_prefill < n_positions) run(n_prefill, n_positions, 1);
  return a;
}

}  // namespace reform::test
