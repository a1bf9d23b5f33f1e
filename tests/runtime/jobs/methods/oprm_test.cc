// OPRM against its plain form: every chunk's prompt put together and run here, by itself.
#include <catch2/catch.hpp>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "runtime/jobs/methods/methods.h"
#include "runtime/recompute/prompt.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr const char* kQuestion = "where are the stones?";
constexpr const char* kInstruction =
    "If the passage above does not hold the answer, reply with the one word \"Error\".";

// Plain softmax and entropy, in nats.
double entropy_of(std::span<const float> logits) {
  const double lse = log_sum_exp(logits);
  double sum = 0;
  for (const float x : logits) sum -= std::exp(double(x) - lse) * (double(x) - lse);
  return sum;
}

struct Chunk {
  std::string context;
  int64_t begin_byte = 0, end_byte = 0, n_prompt = 0;
  double entropy = 0;
};

std::vector<Chunk> plain_chunks(IngestBench& bench, const std::vector<std::string>& names, int64_t chunk_tokens,
                                const std::string& instruction = kInstruction) {
  const Engine::Impl& engine = bench.engine().impl();
  LoadedModel model(bench.engine().model().path, engine.isa, 512, 512);
  std::vector<Chunk> chunks;
  for (const std::string& name : names) {
    const Snapshot stored = bench.snapshot(name);
    const int64_t n = int64_t(stored.ids.size());
    for (int64_t begin = 0; begin < n; begin += chunk_tokens) {
      const int64_t end = std::min(n, begin + chunk_tokens);
      const bool heading = names.size() > 1;
      const Passage passage{heading ? "[" + name + "]\n" : "", !heading && begin > 0,
                            std::span(stored.ids).subspan(size_t(begin), size_t(end - begin))};
      const Prompt prompt =
          take(assemble_prompt(*engine.tokenizer, engine.chat.value(), {"", instruction}, {&passage, 1}, kQuestion));
      KvCache cache = model.make_cache(engine.kv_type());
      const std::vector<float> logits = model.run(prompt.ids, cache, int64_t(prompt.ids.size()));
      const auto last = std::span(logits).last(size_t(model.shape().n_vocab));
      chunks.push_back({name, stored.begin_bytes[size_t(begin)], stored.begin_bytes[size_t(end)],
                        int64_t(prompt.ids.size()), entropy_of(last)});
    }
  }
  return chunks;
}

AskOptions asking(const std::string& method, int64_t chunk_tokens) {
  AskOptions options;
  options.method = method, options.chunk_tokens = chunk_tokens, options.sampling.max_new_tokens = 4;
  return options;
}

std::string ascii(uint64_t seed, size_t n_bytes) {
  std::string text = made_text(seed, n_bytes);
  std::erase_if(text, [](unsigned char c) { return c >= 0x80; });
  return text;
}

struct Bench : IngestBench {
  Bench() {
    REQUIRE(ingest("a", {ascii(1, 4000)}, options("h2o")).ok());
    REQUIRE(ingest("b", {ascii(2, 700)}, options("none")).ok());
  }
};

}  // namespace

TEST_CASE("oprm: the chunk whose first token is least in doubt answers", "[runtime][ask]") {
  Bench bench;
  for (const auto& names : {std::vector<std::string>{"a"}, {"b", "a"}}) {
    for (const int64_t chunk_tokens : {64, 150, 333}) {
      CAPTURE(names, chunk_tokens);
      const std::vector<Chunk> chunks = plain_chunks(bench, names, chunk_tokens);
      REQUIRE(chunks.size() > 2);
      const Chunk& best = *std::ranges::min_element(chunks, {}, &Chunk::entropy);
      std::vector<int64_t> told;
      AskCallbacks callbacks;
      callbacks.on_chunk = [&](int64_t done, int64_t all) {
        told.push_back(done);
        CHECK(all == int64_t(chunks.size()));
      };
      const AskResult r =
          take(ask(bench.engine(), bench.store(), names, kQuestion, asking("oprm", chunk_tokens), callbacks));
      REQUIRE(r.sources.size() == 1);
      CHECK(r.sources[0].context == best.context);
      CHECK(r.sources[0].begin_byte == best.begin_byte);
      CHECK(r.sources[0].end_byte == best.end_byte);
      CHECK(r.sources[0].score == Approx(-best.entropy).epsilon(1e-5));
      CHECK(r.prompt.find(kInstruction) != std::string::npos);
      int64_t n_read = best.n_prompt;  // it is run again
      for (const Chunk& c : chunks) n_read += c.n_prompt;
      CHECK(r.full_model_tokens == n_read);
      CHECK(r.recomputed_tokens == best.n_prompt);
      CHECK(r.question_tokens + r.template_tokens + r.gathered_tokens == best.n_prompt);
      CHECK(told.size() == chunks.size());
      CHECK(told.back() == int64_t(chunks.size()) - 1);
    }
  }
}

TEST_CASE("oprm: with all chunks the prompt asks for no word, and the surest answers", "[runtime][ask]") {
  Bench bench;
  const std::vector<Chunk> chunks = plain_chunks(bench, {"a"}, 150, "");
  const Chunk& best = *std::ranges::min_element(chunks, {}, &Chunk::entropy);
  AskOptions options = asking("oprm", 150);
  options.all_chunks = true;
  const AskResult r = take(ask(bench.engine(), bench.store(), {"a"}, kQuestion, options));
  REQUIRE(r.sources.size() == 1);
  CHECK(r.sources[0].begin_byte == best.begin_byte);
  CHECK(r.sources[0].score == Approx(-best.entropy).epsilon(1e-5));
  CHECK(r.prompt.find("Error") == std::string::npos);
}

TEST_CASE("oprm: memory does not grow with the text, and a stop is heeded between chunks", "[runtime][ask]") {
  IngestBench bench;
  int64_t peaks[2];
  const size_t sizes[] = {2000, 12000};
  for (int i = 0; i < 2; ++i) {
    const std::string name = std::to_string(i);
    REQUIRE(bench.ingest(name, {ascii(3, sizes[i])}, IngestBench::options("none")).ok());
    const AskResult r = take(ask(bench.engine(), bench.store(), {name}, kQuestion, asking("oprm", 100)));
    for (const auto& [category, bytes] : r.memory.peak_bytes) {
      if (category == "activations") peaks[i] = bytes;
    }
  }
  CHECK(peaks[0] == peaks[1]);

  CancelToken cancel;
  int64_t last = 0;
  AskCallbacks stop;
  stop.on_chunk = [&](int64_t done, int64_t) {
    last = done;
    if (done == 2) cancel.cancel();
  };
  const auto asked = ask(bench.engine(), bench.store(), {"1"}, kQuestion, asking("oprm", 100), stop, &cancel);
  CHECK(asked.status().code == Code::kCancelled);
  CHECK(last == 2);
}

TEST_CASE("oprm: where every chunk is left out there is no answer, and that is said", "[runtime][ask]") {
  Bench bench;
  AskMethod method = oprm_method();
  method.select = [](Ask&, const Query&) -> Result<Selection> { return Selection{}; };
  const AskResult r = take(ask_with(method, bench.engine(), bench.store(), {"a"}, kQuestion, asking("oprm", 100)));
  CHECK(r.finish_reason == "unanswered");
  CHECK(r.empty_because == "unanswered");
  CHECK(r.answer.empty());
  CHECK(r.sources.empty());
  CHECK(r.full_model_tokens == 0);
}

TEST_CASE("oprm: a chunk that does not fit the window is refused, auto fits", "[runtime][ask]") {
  Bench bench;
  const int64_t window = bench.engine().model().trained_window_tokens;
  const Status status = ask(bench.engine(), bench.store(), {"a"}, kQuestion, asking("oprm", window)).status();
  CHECK(status.code == Code::kUsage);
  CHECK(status.message.find("--chunk-tokens") != std::string::npos);
  const AskResult r = take(ask(bench.engine(), bench.store(), {"a"}, kQuestion, asking("oprm", GatherOptions::kAuto)));
  CHECK(r.recomputed_tokens <= window);
  CHECK(r.gathered_tokens > 64);
}

TEST_CASE("oprm-random: one chunk by the seed, every chunk in its turn, and only that is run", "[runtime][ask]") {
  Bench bench;
  const std::vector<std::string> names = {"a", "b"};
  const std::vector<Chunk> chunks = plain_chunks(bench, names, 333);
  std::set<std::pair<std::string, int64_t>> wanted, seen;
  for (const Chunk& c : chunks) wanted.insert({c.context, c.begin_byte});
  AskOptions options = asking("oprm-random", 333);
  options.sampling.max_new_tokens = 0;
  for (options.sampling.seed = 0; options.sampling.seed < 100; ++options.sampling.seed) {
    const AskResult r = take(ask(bench.engine(), bench.store(), names, kQuestion, options));
    REQUIRE(r.sources.size() == 1);
    CHECK(r.prompt.find(kInstruction) != std::string::npos);
    seen.insert({r.sources[0].context, r.sources[0].begin_byte});
  }
  CHECK(seen == wanted);
  options.sampling.max_new_tokens = 2;
  const AskResult r = take(ask(bench.engine(), bench.store(), names, kQuestion, options));
  CHECK(r.full_model_tokens == r.recomputed_tokens);
}
