// The methods pages and pages-recompute against their plain forms, and what an ingest keeps for them.
#include "runtime/compress/pages.h"

#include <reform/archive.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/jobs/methods/methods.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/recompute/prompt.h"
#include "tests/runtime/support/archive_bytes.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/files.h"
#include "tests/support/take.h"
#include "tests/support/temp_dir.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr const char* kQuestion = "where are the stones?";
constexpr int64_t kNew = 6;

// Without characters that an edge of a page could cut.
std::string ascii(uint64_t seed, size_t n_bytes) {
  std::string text = made_text(seed, n_bytes);
  std::erase_if(text, [](unsigned char c) { return c >= 0x80; });
  return text;
}

// A model that wants BOS before a text, as none of the tiny ones does: the flag's byte follows its name and type.
std::string model_with_bos(const TempDir& dir) {
  const std::string flag = "tokenizer.ggml.add_bos_token";
  std::string bytes = read_file(tiny_path("qwen2"));
  bytes.at(bytes.find(flag) + flag.size() + sizeof(uint32_t)) = 1;
  write_file(dir.path("bos.gguf"), bytes);
  return dir.path("bos.gguf");
}

IngestOptions with_pages(const std::string& policy) {
  IngestOptions options = IngestBench::options(policy);
  options.pages = true;
  return options;
}

AskOptions asking(const std::string& method, int64_t gather_tokens = 160) {
  AskOptions options;
  options.method = method, options.gather_tokens = gather_tokens;
  options.sampling.max_new_tokens = kNew, options.sampling.ignore_end = true;
  return options;
}

std::unique_ptr<ContextData> open(IngestBench& bench, const std::string& name) {
  return take(bench.store().impl().contexts->open_reader(name));
}

// The likeliest tokens behind the cache's slots and the prompt, as text of whole characters.
std::string decode_plainly(IngestBench& bench, LoadedModel& model, KvCache& cache, std::vector<int32_t> ids) {
  std::string text;
  TextStream stream;
  for (int64_t i = 0; i < kNew; ++i) {
    const std::vector<float> logits = model.run(ids, cache, int64_t(ids.size()), /*rotated_keys=*/false);
    ids = {int32_t(argmax(std::span(logits).last(size_t(model.shape().n_vocab))))};
    text += stream.push(bench.engine().impl().tokenizer->token_bytes(ids[0], false));
  }
  return text + stream.finish();
}

// Puts the stored states of these pages behind the cache's slots, number by number.
void put_pages(ContextData& data, LoadedModel& model, KvCache& cache, const std::vector<TokenRange>& wanted) {
  const ModelShape& s = model.shape();
  const int64_t n_heads = s.n_layers * 2 * s.n_kv_heads, d = s.head_dim;
  const auto put = [&](TokenRange page, std::span<const std::byte> bytes) -> Status {
    const bool is_wanted =
        std::ranges::any_of(wanted, [&](const TokenRange& r) { return r.begin <= page.begin && page.end <= r.end; });
    if (!is_wanted) return {};
    const int64_t n = page.n_tokens(), slot = cache.kv_len(), row_bytes = int64_t(bytes.size()) / n;
    CHECK(n <= 32);
    for (int64_t layer = 0; layer < s.n_layers; ++layer) {
      std::vector<float> states[2];
      for (int64_t part = 0; part < 2; ++part) {
        for (int64_t t = 0; t < n; ++t) {
          for (int64_t g = 0; g < s.n_kv_heads; ++g) {
            const int64_t head = (layer * 2 + part) * s.n_kv_heads + g;
            float scale = 0;
            std::memcpy(&scale, bytes.data() + (t + 1) * row_bytes - (n_heads - head) * 4, 4);
            for (int64_t i = 0; i < d; ++i)
              states[part].push_back(scale * float(int8_t(bytes[size_t(t * row_bytes + head * d + i)])));
          }
        }
      }
      const int64_t width = s.n_kv_heads * d;
      model.ops->store_kv({states[0].data(), n, width}, {states[1].data(), n, width}, slot,
                          cache.layer(layer, slot + n));
    }
    cache.set_kv_len(slot + n);
    return {};
  };
  REQUIRE(data.scan(kPageStates, put).ok());
}

// The tokens that the sources show.
std::vector<TokenRange> tokens_of(const std::vector<Source>& sources, const Tokens& tokens) {
  std::vector<TokenRange> ranges;
  for (const Source& s : sources) {
    const auto at = [&](int64_t byte) {
      return std::ranges::lower_bound(tokens.begin_bytes, byte) - tokens.begin_bytes.begin();
    };
    ranges.push_back({at(s.begin_byte), at(s.end_byte)});
  }
  return ranges;
}

struct Prepared {
  std::vector<int32_t> before, behind;  // the pages
};

Prepared prompt_around(IngestBench& bench) {
  const Engine::Impl& engine = bench.engine().impl();
  std::vector<int32_t> ids = take(assemble_prompt(*engine.tokenizer, engine.chat.value(), {}, {}, kQuestion)).ids;
  const auto n_before = ptrdiff_t(ids[0] == engine.tokenizer->bos());
  return {{ids.begin(), ids.begin() + n_before}, {ids.begin() + n_before, ids.end()}};
}

std::string all_pages(IngestBench& bench, const std::string& name) {
  std::string all;
  const auto data = open(bench, name);
  for (const ChunkKind* kind : {&kPageStates, &kPageKeys}) {
    REQUIRE(data->scan(*kind,
                       [&](TokenRange page, std::span<const std::byte> bytes) -> Status {
                         all += std::to_string(page.begin) + ":" + std::to_string(page.end) + " ";
                         all.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                         return {};
                       })
                .ok());
  }
  return all;
}

}  // namespace

TEST_CASE("pages: the answer is decoded from the chosen pages' stored states, at consecutive positions",
          "[runtime][ask]") {
  const TempDir dir;
  for (const std::string& model_name : {std::string("qwen2"), std::string("gemma3"), model_with_bos(dir)}) {
    IngestBench bench(2, model_name);
    bench.use_heads(R"({"heads": ["v1.0"]})");
    Engine::Impl& engine = bench.engine().impl();
    engine.options.chat_template = model_name == "gemma3" ? "gemma" : "chatml";
    engine.chat = load_chat_template(*engine.gguf, *engine.tokenizer, engine.options.chat_template);
    CHECK(prompt_around(bench).before.size() == (model_name.ends_with("bos.gguf") || model_name == "gemma3" ? 1 : 0));
    // What was evicted is in the pages all the same.
    for (const std::string policy : {"h2o", "zsmerge", "none"}) {
      CAPTURE(model_name, policy);
      IngestOptions options = with_pages(policy);
      options.chunk_tokens = 80;  // pages of 32, 32 and 16 tokens
      REQUIRE(bench.ingest(policy, {ascii(3, 1200)}, options).ok());
      const AskResult r = take(ask(bench.engine(), bench.store(), {policy}, kQuestion, asking("pages")));
      const auto data = open(bench, policy);
      const int64_t n_tokens = data->meta().n_tokens;
      const Tokens tokens = take(data->read_tokens(0, n_tokens));
      const std::vector<TokenRange> chosen = tokens_of(r.sources, tokens);
      REQUIRE(chosen.size() >= 2);
      CHECK(chosen.front().begin == 0);
      CHECK(chosen.back().end == n_tokens);
      CHECK(r.gathered_tokens <= 160);
      CHECK(r.gathered_tokens > 64);  // more than the first and the last
      for (const Source& s : r.sources) CHECK((s.score > 0 && !s.edge));

      LoadedModel model(bench.engine().model().path, engine.isa, 256, 1024);
      KvCache cache = model.make_cache(engine.kv_type());
      const Prepared prompt = prompt_around(bench);
      if (!prompt.before.empty()) model.run(prompt.before, cache, 1, /*rotated_keys=*/false);
      put_pages(*data, model, cache, chosen);
      CHECK(cache.kv_len() == r.gathered_tokens + int64_t(prompt.before.size()));
      CHECK(r.answer == decode_plainly(bench, model, cache, prompt.behind));
      const auto n_prompt = int64_t(prompt.before.size() + prompt.behind.size());
      CHECK(r.recomputed_tokens == n_prompt);
      CHECK(r.full_model_tokens == n_prompt + int64_t(prompt.behind.size()));  // the question ran twice

      const AskResult again = take(ask(bench.engine(), bench.store(), {policy}, kQuestion, asking("pages-recompute")));
      CHECK(tokens_of(again.sources, tokens).size() == chosen.size());
      for (size_t i = 0; i < chosen.size(); ++i) CHECK(again.sources[i].begin_byte == r.sources[i].begin_byte);
      CHECK(again.gathered_tokens == r.gathered_tokens);
      CHECK(again.recomputed_tokens > r.recomputed_tokens + r.gathered_tokens - 1);
    }
  }
}

TEST_CASE("pages: a text of one page is that page", "[runtime][ask]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {"Few stones."}, with_pages("h2o")).ok());
  const AskResult r = take(ask(bench.engine(), bench.store(), {"a"}, kQuestion, asking("pages", 64)));
  REQUIRE(r.sources.size() == 1);
  CHECK(r.sources[0].text == "Few stones.");
}

TEST_CASE("pages: a context without them is refused, and so are two contexts and a budget without room",
          "[runtime][ask]") {
  IngestBench bench;
  IngestOptions deep = IngestBench::options("h2o");
  deep.full_depth = true;
  REQUIRE(bench.ingest("deep", {made_text(5, 900)}, deep).ok());
  for (const std::string name : {"a", "b"}) REQUIRE(bench.ingest(name, {made_text(6, 900)}, with_pages("h2o")).ok());
  const auto refusal = [&](const std::vector<std::string>& names, const AskOptions& options) {
    const Status status = ask(bench.engine(), bench.store(), names, kQuestion, options).status();
    CHECK(status.code == Code::kUsage);
    return status.message;
  };
  for (const std::string method : {"pages", "pages-recompute"}) {
    CAPTURE(method);
    CHECK(refusal({"deep"}, asking(method)).find("context 'deep' keeps no pages") == 0);
    CHECK(refusal({"deep"}, asking(method)).find("--pages") != std::string::npos);
    CHECK(refusal({"a", "b"}, asking(method)).find("2 are named") != std::string::npos);
    CHECK(refusal({"a"}, asking(method, 63)).find("--gather-tokens 63 has no room for them, 64 has") !=
          std::string::npos);
    AskOptions options = asking(method);
    options.sampling.max_new_tokens = bench.engine().model().trained_window_tokens - 40;
    CHECK(refusal({"a"}, options).find("lower --gather-tokens or -n") != std::string::npos);
  }
}

TEST_CASE("pages: such a context is appended to, resumed, exported and imported like others", "[runtime][ingest]") {
  for (const std::string policy : {"h2o", "cascade", "none"}) {
    CAPTURE(policy);
    IngestBench bench;
    const IngestOptions options = with_pages(policy);
    IngestOptions append = options;
    append.pages = false;  // the context's own counts
    ingest_three_ways(bench, options, append);
    const std::string pages = all_pages(bench, "joined");
    CHECK(pages.size() > 1000);
    CHECK((all_pages(bench, "grown") == pages));
    CHECK((all_pages(bench, "resumed") == pages));

    ImportOptions importing;
    importing.name = "imported";
    REQUIRE(import_bytes(bench.store(), exported(bench.store(), "joined"), importing).ok());
    CHECK((all_pages(bench, "imported") == pages));
    const std::string answer = take(ask(bench.engine(), bench.store(), {"joined"}, kQuestion, asking("pages"))).answer;
    CHECK(take(ask(bench.engine(), bench.store(), {"imported"}, kQuestion, asking("pages"))).answer == answer);
  }
}

TEST_CASE("pages: they change neither rows nor caches, and the methods without them work as before",
          "[runtime][ingest]") {
  IngestBench bench;
  IngestOptions deep = IngestBench::options("h2o");
  deep.full_depth = true;
  const std::string text = made_text(9, 900);
  REQUIRE(bench.ingest("deep", {text}, deep).ok());
  REQUIRE(bench.ingest("pages", {text}, with_pages("h2o")).ok());
  const Snapshot with = bench.snapshot("pages"), without = bench.snapshot("deep");
  CHECK((with.rows == without.rows));
  CHECK((with.checkpoints == without.checkpoints));
  CHECK(with.passages == without.passages);
  AskOptions carry = asking("carry");
  carry.gather_tokens = GatherOptions::kAuto;
  CHECK(take(ask(bench.engine(), bench.store(), {"pages"}, kQuestion, carry)).answer ==
        take(ask(bench.engine(), bench.store(), {"deep"}, kQuestion, carry)).answer);
}

TEST_CASE("pages: a GPU makes none", "[runtime][ingest][device]") {
  IngestBench bench(2, "qwen2", IngestBench::Memory::kFenced);
  const Status refused = bench.ingest("a", {made_text(1, 300)}, with_pages("h2o")).status();
  CHECK(refused.code == Code::kUnavailable);
  CHECK(refused.message.find("--device cpu") != std::string::npos);
}
