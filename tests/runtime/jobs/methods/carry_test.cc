// The method carry against its plain form: a forward over the stored slots, one token after another.
#include <reform/archive.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "runtime/jobs/methods/methods.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/recompute/prompt.h"
#include "tests/runtime/support/archive_bytes.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr const char* kQuestion = "where are the stones?";
constexpr int64_t kNew = 6;

IngestOptions at_full_depth(const std::string& policy) {
  IngestOptions options = IngestBench::options(policy);
  options.full_depth = true;
  return options;
}

AskOptions asking() {
  AskOptions options;
  options.method = "carry";
  options.sampling.max_new_tokens = kNew, options.sampling.ignore_end = true;
  return options;
}

// The likeliest tokens behind the cache's slots and the prompt, as text of whole characters.
std::string decode_plainly(IngestBench& bench, LoadedModel& model, KvCache& cache, bool rotated_keys,
                           std::vector<int32_t> ids) {
  std::string text;
  TextStream stream;
  for (int64_t i = 0; i < kNew; ++i) {
    const std::vector<float> logits = model.run(ids, cache, int64_t(ids.size()), rotated_keys);
    ids = {int32_t(argmax(std::span(logits).last(size_t(model.shape().n_vocab))))};
    text += stream.push(bench.engine().impl().tokenizer->token_bytes(ids[0], false));
  }
  return text + stream.finish();
}

std::vector<int32_t> prompt_ids(IngestBench& bench) {
  const Engine::Impl& engine = bench.engine().impl();
  std::vector<int32_t> ids = take(assemble_prompt(*engine.tokenizer, engine.chat.value(), {}, {}, kQuestion)).ids;
  if (ids[0] == engine.tokenizer->bos()) ids.erase(ids.begin());
  return ids;
}

// Of merged slots, for each layer: [n_kv_heads, n_merged].
using Biases = std::map<int, std::vector<float>>;

// The stored slots, put into their places one part after another.
Biases fill(IngestBench& bench, const std::string& name, KvCache& cache) {
  Biases biases;
  const auto data = take(bench.store().impl().contexts->open_reader(name));
  const auto copy = [&](const std::string& part, std::span<const std::byte> bytes) -> Status {
    int layer = 0, head = 0;
    char kind = 0;
    if (std::sscanf(part.c_str(), "biases %d f32", &layer) == 1) {
      std::vector<float>& values = biases[layer];
      values.resize(bytes.size() / sizeof(float));
      std::memcpy(values.data(), bytes.data(), bytes.size());
      return {};
    }
    if (std::sscanf(part.c_str(), "%c %d.%d f", &kind, &layer, &head) != 3 || (kind != 'k' && kind != 'v')) return {};
    const KvView view = cache.layer(layer, 0);
    const int64_t slot_bytes = view.head_dim * elem_bytes(view.type);
    auto* const to = static_cast<std::byte*>(kind == 'k' ? view.k : view.v) + head * view.capacity * slot_bytes;
    std::memcpy(to, bytes.data(), bytes.size());
    cache.set_kv_len(int64_t(bytes.size()) / slot_bytes);
    return {};
  };
  REQUIRE(data->load_checkpoint(data->meta().n_tokens, copy).ok());
  return biases;
}

}  // namespace

TEST_CASE("carry: the answer is decoded from the stored cache, whatever policy left it", "[runtime][ask]") {
  for (const std::string model_name : {"qwen2", "llama3", "gemma3"}) {
    IngestBench bench(2, model_name);
    bench.use_heads(R"({"heads": ["v1.0"]})");
    Engine::Impl& engine = bench.engine().impl();
    engine.options.chat_template = model_name == "gemma3" ? "gemma" : "chatml";
    engine.chat = load_chat_template(*engine.gguf, *engine.tokenizer, engine.options.chat_template);
    for (const std::string& policy : every_policy()) {
      CAPTURE(model_name, policy);
      REQUIRE(bench.ingest(policy, {made_text(3, 900)}, at_full_depth(policy)).ok());
      LoadedModel model(bench.engine().model().path, engine.isa, 256, 1024);
      KvCache cache = model.make_cache(engine.kv_type());
      Biases biases = fill(bench, policy, cache);
      CHECK(biases.empty() == (policy != "zsmerge"));
      if (!biases.empty()) {
        model.slot_bias = [&](int64_t layer) {
          const std::vector<float>& b = biases.at(int(layer));
          const int64_t n_kv_heads = model.shape().n_kv_heads;
          return MatView<const float>{b.data(), n_kv_heads, int64_t(b.size()) / n_kv_heads};
        };
        CHECK(biases.at(0)[0] > 0);  // more than one token
      }
      if (policy != "none") CHECK(cache.kv_len() == 64);  // something was evicted
      const std::vector<int32_t> prompt = prompt_ids(bench);
      const std::string want = decode_plainly(bench, model, cache, /*rotated_keys=*/false, prompt);
      const AskResult r = take(ask(bench.engine(), bench.store(), {policy}, kQuestion, asking()));
      CHECK(r.answer == want);
      CHECK(r.sources.empty());
      CHECK(r.gathered_tokens + r.edge_tokens == 0);
      CHECK(r.recomputed_tokens == int64_t(prompt.size()));
      CHECK(r.full_model_tokens == int64_t(prompt.size()));
      CHECK(r.timings.predicted_n == kNew);
    }
  }
}

TEST_CASE("carry: where nothing was evicted the whole text answers", "[runtime][ask]") {
  IngestBench bench;
  IngestOptions options = at_full_depth("h2o");
  options.chunk_tokens = 512, options.cache_tokens = 512;
  REQUIRE(bench.ingest("a", {made_text(4, 500)}, options).ok());
  const Engine::Impl& engine = bench.engine().impl();
  LoadedModel model(bench.engine().model().path, engine.isa, 1024, 1024);
  KvCache cache = model.make_cache(engine.kv_type());
  std::vector<int32_t> ids = bench.snapshot("a").ids;
  if (engine.tokenizer->add_bos()) ids.insert(ids.begin(), engine.tokenizer->bos());
  const std::vector<int32_t> prompt = prompt_ids(bench);
  ids.insert(ids.end(), prompt.begin(), prompt.end());
  const std::string want = decode_plainly(bench, model, cache, /*rotated_keys=*/false, ids);
  CHECK(take(ask(bench.engine(), bench.store(), {"a"}, kQuestion, asking())).answer == want);
}

TEST_CASE("carry: a context without every layer's cache is refused, and so are two contexts", "[runtime][ask]") {
  IngestBench bench;
  REQUIRE(bench.ingest("shallow", {made_text(5, 900)}, IngestBench::options("h2o")).ok());
  for (const std::string name : {"a", "b"}) REQUIRE(bench.ingest(name, {made_text(6, 900)}, at_full_depth("h2o")).ok());
  const auto refusal = [&](const std::vector<std::string>& names, const AskOptions& options) {
    const Status status = ask(bench.engine(), bench.store(), names, kQuestion, options).status();
    CHECK(status.code == Code::kUsage);
    return status.message;
  };
  CHECK(refusal({"shallow"}, asking()).find("context 'shallow'") == 0);
  CHECK(refusal({"shallow"}, asking()).find("--full-depth") != std::string::npos);
  CHECK(refusal({"a", "b"}, asking()).find("2 are named") != std::string::npos);
  AskOptions options = asking();
  const int64_t window = bench.engine().model().trained_window_tokens;
  options.sampling.max_new_tokens = window - 40;
  CHECK(refusal({"a"}, options).find(std::to_string(window)) != std::string::npos);
}

TEST_CASE("full depth: such a context is appended to, resumed, exported and imported like others",
          "[runtime][ingest]") {
  for (const std::string& policy : every_policy()) {
    CAPTURE(policy);
    IngestBench bench;
    const IngestOptions options = at_full_depth(policy);
    IngestOptions append = options;
    append.full_depth = false;  // the context's own counts
    ingest_three_ways(bench, options, append);
    const std::string answer = take(ask(bench.engine(), bench.store(), {"joined"}, kQuestion, asking())).answer;

    ImportOptions importing;
    importing.name = "imported";
    REQUIRE(import_bytes(bench.store(), exported(bench.store(), "joined"), importing).ok());
    CHECK(take(ask(bench.engine(), bench.store(), {"imported"}, kQuestion, asking())).answer == answer);
  }
}

TEST_CASE("full depth: a replacement that was begun without it is begun anew", "[runtime][ingest]") {
  IngestBench bench;
  const std::string text = made_text(9, 1500);
  IngestOptions options = IngestBench::options("h2o");
  REQUIRE(bench.ingest("a", {made_text(1, 300)}, options).ok());
  options.on_existing = IngestOptions::OnExisting::kReplace;
  REQUIRE(bench.ingest_stopped("a", {text}, options, 3));
  options.full_depth = true;
  REQUIRE(bench.ingest("a", {text}, options).ok());
  CHECK(take(ask(bench.engine(), bench.store(), {"a"}, kQuestion, asking())).timings.predicted_n == kNew);
}
