// The C API's methods of answering.
#include <reform/reform.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>

#include "tests/runtime/support/ingest_support.h"

using namespace reform::test;

namespace {

struct CBench : IngestBench {
  reform_engine* c_engine = nullptr;
  reform_store* c_store = nullptr;

  CBench() {
    reform_engine_options options;
    reform_engine_options_init(&options, sizeof options);
    options.chat_template = "chatml";
    REQUIRE(reform_engine_open(engine().model().path.c_str(), &options, &c_engine) == REFORM_OK);
    REQUIRE(reform_store_open(store().dir().c_str(), &c_store) == REFORM_OK);
  }
  ~CBench() {
    reform_store_close(c_store);
    reform_engine_close(c_engine);
  }
  reform_code ask(const reform_ask_options& options, const reform_ask_result** result) const {
    const char* const name = "a";
    return reform_ask(c_engine, c_store, &name, 1, "where are the stones?", &options, result);
  }
  static reform_ask_options asking(const char* method) {
    reform_ask_options options;
    reform_ask_options_init(&options, sizeof options);
    options.max_new_tokens = 3, options.method = method;
    return options;
  }
};

}  // namespace

TEST_CASE("C API: an ask and a search by each method say what C++ says", "[runtime]") {
  CBench bench;
  reform::IngestOptions reading = IngestBench::options("h2o");
  reading.pages = true;
  REQUIRE(bench.ingest("a", {made_text(7, 900)}, reading).ok());
  for (const reform::MethodInfo& method : reform::list_methods()) {
    CAPTURE(method.name);
    const bool chunks = std::ranges::count(method.options, "--chunk-tokens") > 0;
    reform_ask_options options = CBench::asking(method.name.c_str());
    reform::AskOptions same;
    same.method = method.name, same.sampling.max_new_tokens = 3, same.sampling.seed = options.seed = 5;
    if (chunks) options.chunk_tokens = same.chunk_tokens = 100;
    const reform_ask_result* r = nullptr;
    REQUIRE(bench.ask(options, &r) == REFORM_OK);
    const auto want = reform::ask(bench.engine(), bench.store(), {"a"}, "where are the stones?", same);
    REQUIRE(want.ok());
    CHECK(r->answer == want.value().answer);
    CHECK(r->empty_because == want.value().empty_because);
    CHECK(r->method == method.name);
    CHECK(r->full_model_tokens == want.value().full_model_tokens);
    CHECK(r->bytes_read == want.value().bytes_read);
    CHECK(r->n_sources == want.value().sources.size());
    reform_ask_result_free(r);
    if (!method.searches) continue;

    reform_search_options searching;
    reform_search_options_init(&searching, sizeof searching);
    searching.method = method.name.c_str(), searching.gather_tokens = 100;
    if (std::ranges::count(method.options, "--seed") > 0) searching.seed = 5;
    const char *const name = "a", *const question = "where?";
    const reform_search_list* list = nullptr;
    REQUIRE(reform_search(bench.c_engine, bench.c_store, &name, 1, &question, 1, &searching, &list) == REFORM_OK);
    CHECK(list->results[0]->method == method.name);
    CHECK(list->results[0]->bytes_read > 0);
    CHECK(list->results[0]->n_sources > 0);
    reform_search_list_free(list);
  }
}

TEST_CASE("C API: an unknown method is refused, and so are options that the method does not heed", "[runtime]") {
  CBench bench;
  REQUIRE(bench.ingest("a", {made_text(7, 900)}, IngestBench::options("h2o")).ok());
  const reform_ask_result* r = nullptr;
  for (const char* const method : {"", "magic"}) {
    CHECK(bench.ask(CBench::asking(method), &r) == REFORM_USAGE);
    CHECK(std::strstr(reform_last_error(), "expected one of reform, ") != nullptr);
  }
  reform_ask_options options;
  reform_ask_options_init(&options, sizeof options);
  CHECK(std::string(options.method) == "reform");
  CHECK(options.chunk_tokens == -1);
  options.chunk_tokens = 100;
  CHECK(bench.ask(options, &r) == REFORM_USAGE);
  CHECK(bench.ask(CBench::asking("carry"), &r) == REFORM_USAGE);
  CHECK(std::strstr(reform_last_error(), "--full-depth") != nullptr);
  reform_ingest_options reading;
  reform_ingest_options_init(&reading, sizeof reading);
  CHECK(reading.full_depth == 0);
  CHECK(reading.pages == 0);
}

TEST_CASE("C API: an empty answer and an empty text say why, as C++ does", "[runtime]") {
  CBench bench;
  REQUIRE(bench.ingest("a", {made_text(7, 300)}, IngestBench::options("h2o")).ok());
  reform_ask_options asking = CBench::asking("reform");
  asking.max_new_tokens = 0;
  const reform_ask_result* answer = nullptr;
  REQUIRE(bench.ask(asking, &answer) == REFORM_OK);
  CHECK(answer->empty_because == std::string("length"));
  CHECK(reform_explain_empty(answer->empty_because) == std::string(reform::explain_empty("length")));
  reform_ask_result_free(answer);

  reform_generate_options generating;
  reform_generate_options_init(&generating, sizeof generating);
  for (const int64_t n_tokens : {0, 5}) {
    generating.max_new_tokens = n_tokens;
    const reform_generate_result* text = nullptr;
    REQUIRE(reform_generate(bench.c_engine, "the river", &generating, &text) == REFORM_OK);
    CHECK(text->empty_because == std::string(n_tokens == 0 ? "length" : ""));
    CHECK(text->reasoning == std::string());
    reform_generate_result_free(text);
  }
  CHECK(generating.think == REFORM_THINK_AUTO);
  CHECK(generating.think_tokens == reform::ChatOptions().think_tokens);
  generating.think = 3;
  const reform_generate_result* none = nullptr;
  CHECK(reform_generate(bench.c_engine, "the river", &generating, &none) == REFORM_USAGE);
  CHECK(reform_explain_empty(nullptr) == std::string());
}
