#include "runtime/recompute/prompt_cache.h"

#include <reform/ask.h>
#include <reform/generate.h>

#include <catch2/catch.hpp>
#include <future>
#include <string>
#include <vector>

#include "runtime/engine/engine_impl.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/support/take.h"

namespace reform::test {
namespace {

GenerateOptions options(int64_t n_new, double temperature = 0) {
  GenerateOptions o;
  o.sampling.max_new_tokens = n_new;
  o.sampling.temperature = temperature;
  o.sampling.seed = 7;
  return o;
}

void keep_prompts(IngestBench& bench, int64_t max_bytes) {
  Engine::Impl& engine = bench.engine().impl();
  engine.prompts = std::make_unique<PromptCache>(engine.account, max_bytes);
}

TEST_CASE("a prompt that comes again is not run again, and its answer has the same bytes", "[runtime]") {
  const std::string model = GENERATE("qwen2", "gemma3", "llama3");
  CAPTURE(model);
  IngestBench bench(2, model);
  const std::string prompt = "The river ran past the old mill, and the miller said: ";
  const auto plain = take(generate(bench.engine(), prompt, options(20)));
  const auto drawn = take(generate(bench.engine(), prompt, options(20, 1.0)));
  keep_prompts(bench, int64_t{1} << 30);
  const auto first = take(generate(bench.engine(), prompt, options(20)));
  CHECK(first.timings.cached_n == 0);
  CHECK(first.text == plain.text);
  const auto again = take(generate(bench.engine(), prompt, options(20)));
  CHECK(again.timings.cached_n == again.timings.prompt_n);
  CHECK(again.text == plain.text);
  const auto again_drawn = take(generate(bench.engine(), prompt, options(20, 1.0)));
  CHECK(again_drawn.timings.cached_n == again_drawn.timings.prompt_n);
  CHECK(again_drawn.text == drawn.text);
  // Another length of the reply gives the cache another layout.
  const auto longer = take(generate(bench.engine(), prompt, options(60)));
  CHECK(longer.timings.cached_n > 0);
  CHECK(longer.text.substr(0, plain.text.size()) == plain.text);
  const auto other = take(generate(bench.engine(), prompt + "no", options(20)));
  CHECK(other.timings.cached_n == 0);
}

TEST_CASE("the same question of a context again is not recomputed", "[runtime]") {
  IngestBench bench;
  REQUIRE(bench.ingest("text", {made_text(3, 6000)}, IngestBench::options("h2o")).ok());
  AskOptions ask_options;
  ask_options.sampling.max_new_tokens = 8;
  const auto asked = [&](const std::string& question) {
    return take(ask(bench.engine(), bench.store(), {"text"}, question, ask_options));
  };
  const auto plain = asked("what is there?");
  keep_prompts(bench, int64_t{1} << 30);
  CHECK(asked("what is there?").timings.cached_n == 0);
  CHECK(asked("who was it?").timings.cached_n == 0);
  const auto again = asked("what is there?");
  CHECK(again.timings.cached_n == again.recomputed_tokens);
  CHECK(again.answer == plain.answer);
  CHECK(again.sources.size() == plain.sources.size());
}

TEST_CASE("prompts that were not asked for longest make room, and all of them do for a call", "[runtime]") {
  IngestBench bench;
  const Engine::Impl& engine = bench.engine().impl();
  const auto ask_for = [&](const std::string& prompt) {
    return take(generate(bench.engine(), prompt, options(2))).timings.cached_n > 0;
  };
  const int64_t empty = engine.account.current_total_bytes();
  keep_prompts(bench, int64_t{1} << 30);
  CHECK_FALSE(ask_for("the first of them"));
  const int64_t one = engine.prompts->bytes();
  CHECK(one > 0);
  CHECK(engine.account.current_total_bytes() == empty + one);
  keep_prompts(bench, one * 5 / 2);
  CHECK_FALSE(ask_for("the first of them"));
  CHECK_FALSE(ask_for("the other of them"));
  CHECK(ask_for("the first of them"));
  CHECK_FALSE(ask_for("the third of them"));  // in the place of the other
  CHECK(ask_for("the first of them"));
  CHECK_FALSE(ask_for("the other of them"));
  CHECK(engine.prompts->bytes() <= one * 5 / 2);
  while (engine.prompts->drop_oldest()) {
  }
  CHECK(engine.prompts->bytes() == 0);
  CHECK(engine.account.current_total_bytes() == empty);
  keep_prompts(bench, one - 1);
  CHECK_FALSE(ask_for("the first of them"));
  CHECK(engine.prompts->bytes() == 0);
}

TEST_CASE("calls that interrupt each other give what each gives alone", "[runtime]") {
  IngestBench bench;
  REQUIRE(bench.ingest("text", {made_text(3, 6000)}, IngestBench::options("h2o")).ok());
  const Snapshot alone = bench.snapshot("text");
  AskOptions ask_options;
  ask_options.sampling.max_new_tokens = 24;
  const auto asked = [&](const std::string& question) {
    return ask(bench.engine(), bench.store(), {"text"}, question, ask_options);
  };
  std::vector<std::string> questions, answers;
  for (int i = 0; i < 6; ++i) {
    questions.push_back("who was it of the " + std::to_string(i));
    answers.push_back(take(asked(questions.back())).answer);
  }
  const std::string plain = take(generate(bench.engine(), "the river", options(30))).text;
  bench.engine().impl().turns.set_lease(std::chrono::milliseconds(0));
  auto reading = std::async(std::launch::async, [&] {
    return bench.ingest("other", {made_text(3, 6000)}, IngestBench::options("h2o")).status();
  });
  std::vector<std::future<Result<AskResult>>> asks;
  asks.reserve(questions.size());
  for (const std::string& question : questions) asks.push_back(std::async(std::launch::async, asked, question));
  auto generated = std::async(std::launch::async, [&] { return generate(bench.engine(), "the river", options(30)); });
  for (size_t i = 0; i < asks.size(); ++i) CHECK(take(asks[i].get()).answer == answers[i]);
  CHECK(take(generated.get()).text == plain);
  CHECK(reading.get().ok());
  check_same(bench.snapshot("other"), alone);
}

}  // namespace
}  // namespace reform::test
