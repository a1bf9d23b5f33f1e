// The C API of search.
#include <reform/search.h>

#include <memory>
#include <string>
#include <vector>

#include "base/try.h"
#include "runtime/c_api/calls.h"
#include "runtime/c_api/results.h"

namespace reform {
namespace {

reform_search_options search_defaults() {
  const SearchOptions d;
  reform_search_options o = {};
  o.gather_tokens = d.gather_tokens, o.edge_tokens = d.edge_tokens, o.pool_window = d.pool_window;
  o.gather_score = "", o.rounds = d.rounds;
  o.method = "reform";
  return o;
}

}  // namespace
}  // namespace reform

using namespace reform;

extern "C" {

void reform_search_options_init(reform_search_options* options, size_t size) {
  init_options(options, size, search_defaults());
}

reform_code reform_search(reform_engine* engine, reform_store* store, const char* const* contexts, size_t n_contexts,
                          const char* const* questions, size_t n_questions, const reform_search_options* options,
                          const reform_search_list** list) {
  return guarded([&]() -> Status {
    TRY(need(list, "list"));
    *list = nullptr;
    TRY(need(engine, "engine"));
    TRY(need(store, "store"));
    TRY(need(contexts, "contexts"));
    TRY(need(questions, "questions"));
    reform_search_options c = search_defaults();
    TRY(read_options(options, &c));
    SearchOptions o;
    o.gather_tokens = c.gather_tokens, o.edge_tokens = c.edge_tokens, o.pool_window = c.pool_window;
    o.gather_score = text_or_empty(c.gather_score), o.rounds = c.rounds;
    o.method = text_or_empty(c.method), o.seed = c.seed;
    std::vector<SearchQuestion> asked;
    for (const std::string& question : texts_of(questions, n_questions)) asked.push_back({question});
    auto made = std::make_unique<CSearchList>();
    const SearchCallbacks callbacks{.on_result =
                                        [&](const SearchResult& result) {
                                          const reform_search_result* const found = made->add(result);
                                          return c.result == nullptr || c.result(c.result_user, found) != 0;
                                        },
                                    .on_phase = {}};
    TRY(search(*engine->engine, *store->store, texts_of(contexts, n_contexts), asked, o, callbacks,
               token_of(c.cancel)));
    *list = made.release();
    return {};
  });
}
void reform_search_list_free(const reform_search_list* list) { free_result<CSearchList>(list); }

}  // extern "C"
