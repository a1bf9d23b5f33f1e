// search: finds the passages that match questions, without the model's answer (phase 2, gather alone).
#pragma once

#include <reform/cancel.h>
#include <reform/engine.h>
#include <reform/gather.h>
#include <reform/store.h>

#include <functional>
#include <string>
#include <vector>

namespace reform {

struct SearchOptions : GatherOptions {
  SearchOptions() { gather_tokens = 2048, edge_tokens = 0; }  // edges match nothing

  uint64_t seed = 0;  // random: which passages are drawn; an ask takes it from its sampling

  REFORM_API Status validate() const;
};

struct SearchQuestion {
  std::string text;
  std::string name = {};  // what errors call it, such as "questions.txt:7"; "": its number, if there are several
};

struct SearchResult {
  std::string question;
  std::string method;           // that found them
  std::vector<Source> sources;  // as rank_sources() leaves them
  // late: the chance that the text answers the question, by how well its best passage fits. < 0: not known.
  double confidence = -1;
  int64_t gathered_tokens = 0, edge_tokens = 0, question_tokens = 0;
  int64_t bytes_read = 0;  // of the contexts, by the whole call until now
  // Phases {load_ms, query_ms, gather_ms}. load_ms is the whole call's until now. The others and total_ms, their sum,
  // are this question's own.
  Timings timings;
  MemoryReport memory;
};

struct SearchCallbacks {
  // Gets each result as soon as it is found, in the order of the questions. Return false to stop.
  std::function<bool(const SearchResult&)> on_result;
  std::function<void(const std::string& phase)> on_phase;  // load; query for some questions; gather for each of them
};

// Opens the contexts once, and loads their caches once for 32 questions. Needs no chat template, so any model
// that can ingest will do. kUsage and kBadText name the question; nothing is searched then. Otherwise the codes of
// ask(). ok if a callback stopped it.
REFORM_API Status search(Engine& engine, Store& store, const std::vector<std::string>& contexts,
                         const std::vector<SearchQuestion>& questions, const SearchOptions& options,
                         const SearchCallbacks& callbacks, const CancelToken* cancel = nullptr);

// The same for one question.
REFORM_API Result<SearchResult> search(Engine& engine, Store& store, const std::vector<std::string>& contexts,
                                       const std::string& question, const SearchOptions& options = {},
                                       const CancelToken* cancel = nullptr);

}  // namespace reform
