// Models of real shapes with random weights: their contents, that they are the same everywhere, and the whole job.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/ops.h"
#include "runtime/chat/chat_template.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/model/fingerprint.h"
#include "runtime/model/synthetic/model.h"
#include "runtime/model/synthetic/weight_pattern.h"
#include "runtime/recompute/decode.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/model_support.h"

using namespace reform;
using namespace reform::test;

namespace {

const std::string kTiny = "synthetic:tiny:q4_k";

// Nearly even chances for each of 331 tokens, one of which ends the text.
GenerateOptions nearly_even() {
  GenerateOptions options;
  options.sampling.temperature = 100, options.sampling.top_k = 0, options.sampling.top_p = 1,
  options.sampling.min_p = 0;
  return options;
}

std::unique_ptr<Gguf> opened(const std::string& path) {
  auto gguf = Gguf::open(path);
  INFO(gguf.status().message);
  REQUIRE(gguf.ok());
  return std::move(gguf).value();
}

// A tensor's bytes, read in pieces of an odd size.
std::vector<std::byte> in_pieces(const Gguf& gguf, std::span<const std::byte> data, size_t piece_bytes) {
  std::vector<std::byte> all;
  while (!data.empty()) {
    const auto bytes = gguf.bytes_at(data.first(std::min(piece_bytes, data.size())));
    REQUIRE(!bytes.empty());
    all.insert(all.end(), bytes.begin(), bytes.end());
    data = data.subspan(bytes.size());
  }
  return all;
}

bool equal(std::span<const std::byte> a, std::span<const std::byte> b) { return std::ranges::equal(a, b); }

std::vector<std::string> all_types() {
  std::vector<std::string> types;
  for (size_t i = 0; i < size_t(QuantType::kCount); ++i) types.emplace_back(geometry(QuantType(i)).name);
  return types;
}

}  // namespace

TEST_CASE("random weights of every type have the deviation they should, round 0", "[runtime][synthetic]") {
  for (size_t i = 0; i < size_t(QuantType::kCount); ++i) {
    const QuantType type = QuantType(i);
    CAPTURE(geometry(type).name);
    const WeightPattern pattern(type, 1 << 20);
    const auto bytes = pattern.piece(0, 0, 1 << 18);
    const int64_t n_blocks = int64_t(bytes.size()) / geometry(type).block_bytes;
    std::vector<float> values(size_t(n_blocks * geometry(type).block_elems));
    dequantise(type, bytes.data(), int64_t(values.size()), values.data());
    double sum = 0, squares = 0, largest = 0;
    for (const float v : values) {
      REQUIRE(std::isfinite(v));
      sum += v, squares += double(v) * v, largest = std::max(largest, std::abs(double(v)));
    }
    const double n = double(values.size());
    CHECK(std::sqrt(squares / n) == Approx(WeightPattern::kDeviation).epsilon(0.03));
    // Signs are drawn per block, so the bound is four standard errors of the mean of n_blocks draws.
    CHECK(std::abs(sum / n) < 4 * double(WeightPattern::kDeviation) / std::sqrt(double(n_blocks)));
    CHECK(largest < 10 * double(WeightPattern::kDeviation));
  }
}

TEST_CASE("a piece of random weights goes on where the one before ended, round the end too", "[runtime][synthetic]") {
  const WeightPattern pattern(QuantType::kQ5_0, 10'000), same(QuantType::kQ5_0, 10'000);
  const auto read = [](const WeightPattern& from, int64_t index, int64_t begin, int64_t step) {
    std::vector<std::byte> all;
    while (int64_t(all.size()) < 30'000) {
      const auto piece = from.piece(index, begin + int64_t(all.size()), step);
      all.insert(all.end(), piece.begin(), piece.end());
    }
    all.resize(30'000);
    return all;
  };
  for (const int64_t index : {0, 1, 77}) {
    const auto whole = read(pattern, index, 0, 1 << 20);
    CHECK(equal(whole, read(same, index, 0, 1 << 20)));
    CHECK(equal(whole, read(pattern, index, 0, 997)));
    const auto later = read(pattern, index, 22, 4096);
    CHECK(equal(std::span(whole).subspan(22), std::span(later).first(29'978)));
  }
  CHECK_FALSE(equal(read(pattern, 0, 0, 4096), read(pattern, 1, 0, 4096)));
}

TEST_CASE("real shapes are there without their memory", "[runtime][synthetic]") {
  struct Row {
    const char* name;
    int64_t n_layers, d_model, d_ff, n_heads, n_kv_heads, head_dim, n_vocab;
    double billions;
    int64_t exit;
  };
  const Row rows[] = {{"mistral-nemo-12b:q4_k", 40, 5120, 14336, 32, 8, 128, 131072, 12.25, 28},
                      {"qwen2.5-7b:bf16", 28, 3584, 18944, 28, 4, 128, 152064, 7.62, 19},
                      {"llama-3.1-8b:Q8_0", 32, 4096, 14336, 32, 8, 128, 128256, 8.03, 22},
                      {"tiny:f32", 5, 256, 768, 8, 2, 64, 331, 0.00476, 3}};
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const auto gguf = opened(std::string(kSyntheticModel) + row.name);
    const auto model = Model::create(*gguf);
    INFO(model.status().message);
    REQUIRE(model.ok());
    const ModelShape& s = model.value()->shape();
    CHECK(s.n_layers == row.n_layers);
    CHECK(std::tuple(s.d_model, s.d_ff) == std::tuple(row.d_model, row.d_ff));
    CHECK(std::tuple(s.n_heads, s.n_kv_heads, s.head_dim) == std::tuple(row.n_heads, row.n_kv_heads, row.head_dim));
    CHECK(s.n_vocab == row.n_vocab);
    double n_params = 0;
    for (const GgufTensor& t : gguf->tensors())
      n_params += double(t.shape[0]) * double(t.shape.size() > 1 ? t.shape[1] : 1);
    CHECK(n_params / 1e9 == Approx(row.billions).epsilon(0.01));
    const auto tokenizer = Tokenizer::create(*gguf);
    REQUIRE(tokenizer.ok());
    CHECK(tokenizer.value()->n_vocab() == row.n_vocab);
    CHECK(load_chat_template(*gguf, *tokenizer.value(), "").value().name == "default");
    const Heads heads = synthetic_heads(s);
    CHECK(heads.size() == 4);
    CHECK(check_heads(heads, s).ok());
    CHECK(exit_layer(heads) == row.exit);
  }
}

TEST_CASE("a synthetic model's weights are the same bytes in memory, in pieces, and each time",
          "[runtime][synthetic]") {
  for (const char* type : {"q4_k", "bf16", "q6_k", "f32"}) {
    CAPTURE(type);
    const std::string path = std::string("synthetic:tiny:") + type;
    const auto made = opened(path), in_memory = opened(path);
    CHECK(made->made_bytes() > 0);
    REQUIRE(in_memory->materialise().ok());
    CHECK(in_memory->made_bytes() == 0);
    REQUIRE(made->tensors().size() == in_memory->tensors().size());
    const std::byte* end = nullptr;
    for (size_t i = 0; i < made->tensors().size(); ++i) {
      const GgufTensor& tensor = made->tensors()[i];
      CAPTURE(tensor.name);
      CHECK(tensor.data.data() >= end);
      end = tensor.data.data() + tensor.data.size();
      REQUIRE(equal(in_pieces(*made, tensor.data, 7777), in_memory->tensors()[i].data));
      CHECK(equal(in_pieces(*in_memory, tensor.data.first(0), 1), {}));
    }
    CHECK_FALSE(equal(in_memory->find_tensor("blk.0.attn_q.weight")->data,
                      in_memory->find_tensor("blk.1.attn_q.weight")->data));
  }
}

TEST_CASE("a synthetic model is what its name says: that is its fingerprint", "[runtime][synthetic]") {
  const std::string print = compute_fingerprint(*opened(kTiny));
  CHECK(print == compute_fingerprint(*opened("synthetic:tiny:Q4_K")));
  CHECK(print != compute_fingerprint(*opened("synthetic:tiny:q5_k")));
  const auto in_memory = opened(kTiny);
  REQUIRE(in_memory->materialise().ok());
  CHECK(print == compute_fingerprint(*in_memory));
  CHECK(print == "a151f3da5d7ab3364bb5451cb8dea100");  // if it changes, raise kGeneratorVersion
}

TEST_CASE("a synthetic model's error says whether its name or its type is unknown", "[runtime][synthetic]") {
  const auto said = [](const std::string& name) {
    return Gguf::open(std::string(kSyntheticModel) + name).status().message;
  };
  CHECK(said("tiny:q9").find("'q9' is no known type") != std::string::npos);
  CHECK(said("teeny:q4_k").find("'teeny' is no known name") != std::string::npos);
  CHECK(said("tiny").find("it has no type") != std::string::npos);
  CHECK(said(":q4_k").find("it has no name") != std::string::npos);
}

TEST_CASE("a synthetic model that does not exist is one error that says what there is", "[runtime][synthetic]") {
  for (const std::string name : {"", ":", "tiny", "tiny:", "tiny:q4_k ", ":q4_k", "tiny:iq4_nl", "tiny:q4_k:",
                                 "tiny:q4_k:q4_k", "TINY:q4_k", "tiny:\x1b[31m", "../tiny:q4_k", "mistral-nemo-12b"}) {
    CAPTURE(name);
    const Status status = Gguf::open(std::string(kSyntheticModel) + name).status();
    CHECK(status.code == Code::kUsage);
    for (const char* there : {"mistral-nemo-12b", "qwen2.5-7b", "llama-3.1-8b", "bf16", "q4_k", "NAME:TYPE"}) {
      CHECK(status.message.find(there) != std::string::npos);
    }
    CHECK(status.message.find('\x1b') == std::string::npos);
  }
  CHECK(Gguf::open(std::string(kSyntheticModel) + std::string(1 << 20, 'x')).status().message.size() < 1000);
}

TEST_CASE("a synthetic model's tokens are a text's bytes", "[runtime][synthetic]") {
  const auto gguf = opened(kTiny);
  const auto tokenizer = Tokenizer::create(*gguf);
  REQUIRE(tokenizer.ok());
  for (const std::string& text :
       {made_text(3, 5000), std::string(1000, ' '), std::string("[300]<|im_end|>\n\n\r\0x", 20)}) {
    const auto ids = tokenizer.value()->encode_plain(text);
    REQUIRE(ids.ok());
    REQUIRE(ids.value().size() == text.size());
    for (size_t i = 0; i < text.size(); ++i) REQUIRE(ids.value()[i] == uint8_t(text[i]));
    CHECK(tokenizer.value()->decode(ids.value(), false, true) == text);
  }
  CHECK(tokenizer.value()->encode_special("<|im_end|>").value().size() == 1);
}

TEST_CASE("every type's random model has finite logits that differ", "[runtime][synthetic]") {
  const std::vector<int32_t> ids = {72, 101, 108, 108, 111, 32, 256, 0, 330};
  for (const std::string& type : all_types()) {
    CAPTURE(type);
    LoadedModel m("synthetic:tiny:" + type, best_isa(), 16, 16);
    KvCache cache = m.make_cache(KvView::Type::kF16);
    const std::vector<float> logits = m.run(ids, cache, 8);
    double sum = 0, squares = 0;
    for (const float x : logits) {
      REQUIRE(std::isfinite(x));
      sum += x, squares += double(x) * x;
    }
    const double mean = sum / double(logits.size()),
                 deviation = std::sqrt(squares / double(logits.size()) - mean * mean);
    CHECK(deviation > 0.1);  // sqrt(256) * 0.02 = 0.32 if all were independent
    CHECK(deviation < 1);
    CHECK(std::abs(mean) < deviation);
  }
}

TEST_CASE("a synthetic model ingests and answers alike wherever memory is", "[runtime][synthetic][device]") {
  IngestBench here(2, kTiny), there(2, kTiny, IngestBench::Memory::kFenced);
  for (IngestBench* bench : {&here, &there}) {
    REQUIRE(bench->ingest("a", {made_text(5, 1500)}, IngestBench::options("h2o")).ok());
  }
  const Snapshot a = here.snapshot("a");
  check_same(a, there.snapshot("a"));
  CHECK(a.ids.size() == 1500);
  CHECK(a.info.model_path == kTiny);
}

namespace {

// The logits of the last of these tokens. `model` uses the device's weights.
std::vector<float> last_logits(const Model& model, Device& device, KvView::Type kv_type, std::span<const int32_t> ids) {
  const ModelShape& s = model.shape();
  const auto n = int64_t(ids.size());
  const OpLimits limits = Transformer::limits(s, device, n, n);
  auto workspace =
      Buffer<std::byte>::create(device.account(), MemoryCategory::kWorkspace, device.workspace_bytes(limits));
  REQUIRE(workspace.ok());
  const auto ops = device.make_ops(limits, workspace.value().span());
  auto transformer = Transformer::create(model, {device, ops.get(), device.account()}, n, n);
  auto cache = KvCache::create(device.account(), kv_type, s.n_layers, s.n_kv_heads, s.head_dim, n);
  auto logits = Buffer<float>::create(device.account(), MemoryCategory::kActivations, s.n_vocab);
  REQUIRE((transformer.ok() && cache.ok() && logits.ok()));
  const ForwardArgs args{.ids = ids, .cache = &cache.value(), .rotated_keys = true, .last_layer = s.n_layers - 1};
  REQUIRE(transformer.value()->forward(args).ok());
  REQUIRE(transformer.value()->logits(1, MatView<float>(logits.value().data(), 1, s.n_vocab)).ok());
  std::vector<float> out(static_cast<size_t>(s.n_vocab));
  REQUIRE(device.to_host(out.data(), logits.value().data(), s.n_vocab * 4).ok());
  return out;
}

}  // namespace

TEST_CASE("a synthetic model gives CUDA's kernels the weights that the CPU has", "[runtime][synthetic][device][cuda]") {
  const std::vector<int32_t> ids = {82, 330};
  ThreadPool pool(1);
  MemoryAccount account;
  std::vector<float> logits[2];
  for (const bool emulated : {false, true}) {
    const std::unique_ptr<Device> device =
        emulated ? fenced_emulated_cuda() : make_cpu_device(Isa::kRef, pool, account);
    const auto gguf = opened(kTiny);
    const auto model = Model::create(*gguf);
    REQUIRE(model.ok());
    REQUIRE(model.value()->move_to(*device, account, WeightPlace::kAuto).ok());
    const auto kv_type = emulated ? KvView::Type::kF16 : KvView::Type::kF32;
    logits[emulated] = last_logits(*model.value(), *device, kv_type, ids);
  }
  CHECK(cosine(logits[0], logits[1]) > 0.999);
}

TEST_CASE("a synthetic model that does not fit the cap is refused before it is made", "[runtime][synthetic]") {
  EngineOptions options;
  options.max_host_memory_bytes = 100'000'000;
  const auto refused = Engine::open("synthetic:mistral-nemo-12b:q4_k", options);
  CHECK(refused.status().code == Code::kMemoryCap);
  CHECK(refused.status().message.find("--max-host-memory") != std::string::npos);
}

TEST_CASE("an end token does not end a text that must have its length", "[runtime][synthetic]") {
  auto engine = Engine::open(kTiny, {});
  REQUIRE(engine.ok());
  GenerateOptions options = nearly_even();
  options.sampling.max_new_tokens = 40, options.sampling.seed = 2;  // by chance, the 25th
  const auto stopped = generate(*engine.value(), "Once", options);
  REQUIRE(stopped.ok());
  CHECK(stopped.value().finish_reason == "stop");
  options.sampling.ignore_end = true;
  const auto whole = generate(*engine.value(), "Once", options);
  REQUIRE(whole.ok());
  CHECK(whole.value().finish_reason == "length");
  CHECK(whole.value().timings.predicted_n == 40);
}

TEST_CASE("a text that the model's first token ends says so", "[runtime][synthetic]") {
  auto engine = Engine::open(kTiny, {});
  REQUIRE(engine.ok());
  GenerateOptions options = nearly_even();
  options.sampling.seed = 613;  // by chance, the first token ends the text
  const auto ended = generate(*engine.value(), "Once", options);
  REQUIRE(ended.ok());
  CHECK(ended.value().finish_reason == "stop");
  CHECK(ended.value().empty_because == "end");
}
