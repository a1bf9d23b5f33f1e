// Gather by late interaction where memory ends, or what is stored is wrong.
#include <fmt/format.h>
#include <reform/ask.h>
#include <reform/search.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/jobs/methods/methods.h"
#include "storage/format/chunk_kind.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/late_bench.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::test;

namespace {

// As many heads as there can be, so that scoring takes more memory than the question does.
std::string many_heads() {
  std::string heads;
  for (const char* head : {"q0.0", "q0.1", "q0.2", "q0.3", "q1.0", "q1.1", "q1.2", "q1.3", "k0.0", "k0.1", "k1.0",
                           "k1.1", "v0.0", "v0.1", "v1.0", "v1.1"})
    heads += fmt::format("{}[\"{}\", 0.5, 0.1, 1]", heads.empty() ? "" : ", ", head);
  return R"({"sets": {"balanced": {"heads": [)" + heads +
         R"(], "lexical": [0, 1, 1], "length": 0, "confidence": [0, 1]}}})";
}

// A context's data, with one wrong token wherever tokens are read.
class OtherId final : public ContextData {
 public:
  OtherId(std::unique_ptr<ContextData> data, int32_t id) : data_(std::move(data)), id_(id) {}
  const ContextMeta& meta() const override { return data_->meta(); }
  Result<std::vector<Tokens>> read_token_ranges(std::span<const TokenRange> ranges) override {
    auto read = data_->read_token_ranges(ranges);
    if (read.ok()) read.value().back().ids.back() = id_;
    return read;
  }
  Status scan(const ChunkKind& kind, const std::function<Status(TokenRange, std::span<const std::byte>)>& fn) override {
    return data_->scan(kind, fn);
  }
  Status read_values(const ChunkKind& kind, std::span<const TokenRange> ranges,
                     const std::function<Status(TokenRange, std::span<const std::byte>)>& fn) override {
    return data_->read_values(kind, ranges, fn);
  }
  Result<std::vector<int64_t>> checkpoints() override { return data_->checkpoints(); }
  Status load_checkpoint(int64_t n_tokens,
                         const std::function<Status(const std::string&, std::span<const std::byte>)>& fn) override {
    return data_->load_checkpoint(n_tokens, fn);
  }
  int64_t bytes_read() const override { return data_->bytes_read(); }

 private:
  const std::unique_ptr<ContextData> data_;
  const int32_t id_;
};

}  // namespace

TEST_CASE("late gather: a cap without room for the scorer is told before anything is gathered", "[runtime][late]") {
  IngestBench bench;
  bench.use_heads(many_heads());
  REQUIRE(bench.ingest("a", {text_of(1, 2000)}, in_chunks(64)).ok());
  // A question of one token, as a second round asks with whole sentences.
  const auto status = [&](Engine& engine, Store& store, bool& gathers) {
    gathers = false;
    const SearchCallbacks note{.on_result = {},
                               .on_phase = [&](const std::string& phase) { gathers = gathers || phase == "gather"; }};
    return search(engine, store, {"a"}, {{"4"}}, gathering(200, 2), note);
  };
  const auto n_refused = [&](int64_t enough, const std::function<Status(int64_t cap, bool& gathers)>& under_cap) {
    int n = 0;
    for (int64_t cap = enough; n < 25; cap -= 3000) {
      REQUIRE(cap > 0);
      bool gathers = false;
      const Status s = under_cap(cap, gathers);
      CAPTURE(cap, enough, s.message);
      CHECK(gathers == s.ok());
      if (s.ok()) continue;
      CHECK(s.code == Code::kMemoryCap);
      CHECK(s.message.find("a larger --max-") != std::string::npos);
      ++n;
    }
    return n;
  };
  const auto open_engine = [&](int64_t cap) {
    EngineOptions options = bench.engine().impl().options;
    options.max_host_memory_bytes = cap;
    return take(Engine::open(bench.engine().model().path, options));
  };
  bool gathers = false;
  const auto ample = open_engine(0);
  REQUIRE(status(*ample, bench.store(), gathers).ok());
  const int64_t store_bytes = planned_store_bytes(0, 1);
  CHECK(n_refused(ample->impl().account.peak_total_bytes() + store_bytes,
                  [&](int64_t cap, bool& g) { return status(*open_engine(cap), bench.store(), g); }) == 25);
  // On a device with memory of its own the cap is that memory's.
  IngestBench there(2, "qwen2", IngestBench::Memory::kFenced);
  there.use_heads(many_heads());
  REQUIRE(there.ingest("a", {text_of(1, 2000)}, in_chunks(64)).ok());
  Engine::Impl& impl = there.engine().impl();
  const auto move_to = [&](int64_t cap) { there.move_to(fenced_cpu(impl.isa, *impl.pool, cap)); };
  const auto search_there = [&](bool& g) { return status(there.engine(), there.store(), g); };
  REQUIRE(search_there(gathers).ok());
  const MemoryAccount& account = impl.device->account();
  const int64_t weights = account.peak_bytes(MemoryCategory::kWeights),
                enough = weights + account.peak_bytes(MemoryCategory::kIndex) + (1 << 20);
  CHECK(n_refused(enough, [&](int64_t cap, bool& g) {
          move_to(cap);
          return search_there(g);
        }) == 25);
}

TEST_CASE("late gather: a token that the model does not have is damage, and is never looked up", "[runtime][late]") {
  LateBench bench;
  for (const int32_t wrong : {-1, int32_t(bench.engine().impl().tokenizer->n_vocab()), INT32_MAX}) {
    for (const char* score : {"late", "paper"}) {
      CAPTURE(wrong, score);
      AskMethod method = reform_method();
      method.select = [&](Ask& ask, const Query& query) {
        ask.contexts[0].data = std::make_unique<OtherId>(std::move(ask.contexts[0].data), wrong);
        return select_spans(ask, query);
      };
      AskOptions options;
      options.gather_tokens = 200;
      options.gather_score = score, options.sampling.max_new_tokens = 1;
      const Status status = ask_with(method, bench.engine(), bench.store(), {"b"}, "why?", options).status();
      CHECK(status.code == Code::kCorrupt);
      CHECK(status.message.starts_with(fmt::format("context 'b' has a token {}, and its model has ", wrong)));
    }
  }
}
