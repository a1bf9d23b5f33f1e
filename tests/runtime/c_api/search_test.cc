// The C API of search.
#include <reform/reform.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/runtime/support/ingest_support.h"

using namespace reform::test;

namespace {

struct Seen {
  std::vector<std::string> questions;
  size_t at_most = 100;
};
int note_result(void* user, const reform_search_result* result) {
  Seen& seen = *static_cast<Seen*>(user);
  seen.questions.push_back(result->question);
  return seen.questions.size() < seen.at_most;
}

}  // namespace

TEST_CASE("C API: questions are searched on one load, each result comes at once and stays in the list", "[runtime]") {
  const std::string text = made_text(7, 900);
  IngestBench bench;
  REQUIRE(bench.ingest("c", {text}, IngestBench::options("h2o")).ok());
  reform_engine* engine = nullptr;
  reform_store* store = nullptr;
  REQUIRE(reform_engine_open(bench.engine().model().path.c_str(), nullptr, &engine) == REFORM_OK);
  REQUIRE(reform_store_open(bench.store().dir().c_str(), &store) == REFORM_OK);
  const char* names[] = {"c", "nobody"};
  const char* questions[] = {"where are the stones?", "who?", " "};

  const reform_search_list* list = nullptr;
  Seen seen;
  reform_search_options options;
  reform_search_options_init(&options, sizeof options);
  CHECK((options.gather_tokens == 2048 && options.edge_tokens == 0 && options.pool_window == 65));
  options.gather_tokens = 40, options.pool_window = 5;
  options.result = note_result, options.result_user = &seen;
  REQUIRE(reform_search(engine, store, names, 1, questions, 2, &options, &list) == REFORM_OK);
  CHECK(seen.questions == std::vector<std::string>{questions[0], questions[1]});
  REQUIRE(list->n == 2);
  for (size_t i = 0; i < list->n; ++i) {
    const reform_search_result& r = *list->results[i];
    CHECK(std::string(r.question) == questions[i]);
    CHECK((r.gathered_tokens == 40 && r.edge_tokens == 0 && r.question_tokens > 0));
    CHECK(r.report->n_phases == 3);
    REQUIRE(r.n_sources > 1);
    for (size_t s = 0; s < r.n_sources; ++s) {
      const reform_source& source = *r.sources[s];
      const auto begin = text.begin() + source.begin_byte;
      CHECK(std::string(source.text, source.text_bytes) == std::string(begin, text.begin() + source.end_byte));
      CHECK(source.begin_line == 1 + std::count(text.begin(), begin, '\n'));
      CHECK(source.edge == 0);
      if (s > 0) CHECK(source.score <= r.sources[s - 1]->score);
    }
  }
  reform_search_list_free(list);

  seen = {.questions = {}, .at_most = 1};
  REQUIRE(reform_search(engine, store, names, 1, questions, 2, &options, &list) == REFORM_OK);
  CHECK(list->n == 1);
  reform_search_list_free(list);

  CHECK(reform_search(engine, store, names, 1, questions, 3, nullptr, &list) == REFORM_USAGE);
  CHECK(list == nullptr);
  CHECK(std::string(reform_last_error()) == "question 3: the question is empty");
  CHECK(reform_search(engine, store, names, 1, questions, 0, nullptr, &list) == REFORM_USAGE);
  CHECK(reform_search(engine, store, names, 1, nullptr, 0, nullptr, &list) == REFORM_USAGE);
  CHECK(reform_search(engine, store, names, 2, questions, 1, nullptr, &list) == REFORM_NOT_FOUND);
  CHECK(reform_search(engine, store, names, 1, questions, 1, nullptr, nullptr) == REFORM_USAGE);
  reform_store_close(store);
  reform_engine_close(engine);
}
