// A model's file that is written to while it is in use: each job says that, and not that the model is damaged.
#include <reform/ask.h>
#include <reform/generate.h>
#include <reform/ingest.h>
#include <reform/search.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/runtime/support/model_support.h"
#include "tests/support/take.h"
#include "tests/support/temp_dir.h"

using namespace reform;
using namespace reform::test;

TEST_CASE("a model that is overwritten while it is in use has changed, and is not called damaged", "[runtime]") {
  const TempDir dir;
  const std::string model = dir.path("model.gguf"), heads = dir.path("heads.json");
  std::filesystem::copy_file(tiny_path("qwen2"), model);
  std::ofstream(heads) << R"({"heads": ["v0.0", "q1.1"]})";
  EngineOptions options;
  options.n_threads = 1, options.cache_dir = dir.path("cache"), options.heads_file = heads;
  const auto engine = take(Engine::open(model, options));
  const auto store = take(Store::open(dir.path("store")));
  std::istringstream text("The mill stands by the river."), more("It is white.");
  take(ingest(*engine, *store, "c", {{"text", &text}}, {}));

  constexpr size_t kNaNs = 100'000;  // the file's end, all of it weights
  std::fstream file(model, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-int64_t(kNaNs), std::ios::end);
  file << std::string(kNaNs, '\xff') << std::flush;
  const auto check_said = [&](const char* job, const Status& status) {
    INFO(job << ": " << status.message);
    CHECK(status.code == Code::kBadModel);
    CHECK(status.message.starts_with(model + ": was written to while it was in use"));
  };
  AskOptions question;
  question.gather_tokens = 8, question.sampling.max_new_tokens = 1;
  check_said("generate", generate(*engine, "The mill", {}).status());
  check_said("ask", ask(*engine, *store, {"c"}, "where?", question).status());
  check_said("search", search(*engine, *store, {"c"}, "where?", {}).status());
  check_said("ingest", ingest(*engine, *store, "d", {{"more", &more}}, {}).status());
}
