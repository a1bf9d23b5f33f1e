// The C API's results. Each derives from the struct that the caller sees, and owns the C++ value that its pointers
// point into.
#pragma once

#include <reform/archive.h>
#include <reform/ask.h>
#include <reform/generate.h>
#include <reform/ingest.h>
#include <reform/reform.h>
#include <reform/search.h>
#include <reform/verify.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace reform {

struct CReport : reform_report {
  void set(Timings t, MemoryReport m) {
    timings = std::move(t), memory = std::move(m);
    for (const auto& [name, ms] : timings.phases_ms) phase_list.push_back({name.c_str(), ms});
    for (const auto& [name, bytes] : memory.peak_bytes) category_list.push_back({name.c_str(), bytes});
    for (const GpuCategory& c : memory.gpu_categories) {
      gpu_category_list.push_back({c.name.c_str(), c.planned_bytes, c.peak_bytes});
    }
    const WeightReport& weights = memory.gpu_weights;
    static_cast<reform_report&>(*this) = {timings.prompt_n,
                                          timings.predicted_n,
                                          timings.prompt_ms,
                                          timings.predicted_ms,
                                          timings.total_ms,
                                          memory.peak_host_bytes,
                                          memory.peak_gpu_bytes,
                                          phase_list.size(),
                                          phase_list.data(),
                                          category_list.size(),
                                          category_list.data(),
                                          memory.gpu_arena_bytes,
                                          memory.gpu_outside_bytes,
                                          gpu_category_list.size(),
                                          gpu_category_list.data(),
                                          weights.place.c_str(),
                                          weights.resident_layers,
                                          weights.streamed_layers,
                                          weights.planned_tokens_per_second};
  }

  Timings timings;
  MemoryReport memory;
  std::vector<reform_named_ms> phase_list;
  std::vector<reform_named_bytes> category_list;
  std::vector<reform_gpu_category> gpu_category_list;
};

struct CContext : reform_context {
  static std::unique_ptr<CContext> make(ContextInfo info) {
    auto made = std::make_unique<CContext>();
    ContextInfo& c = made->info = std::move(info);
    for (const std::string& file : c.files) made->file_list.push_back(file.c_str());
    static_cast<reform_context&>(*made) = {c.name.c_str(),
                                           c.id.c_str(),
                                           c.model_name.c_str(),
                                           c.model_path.c_str(),
                                           c.model_fingerprint.c_str(),
                                           c.policy.c_str(),
                                           c.state.c_str(),
                                           c.problem.c_str(),
                                           c.settings_json.c_str(),
                                           made->file_list.size(),
                                           made->file_list.data(),
                                           c.n_tokens,
                                           c.source_bytes,
                                           c.created_unix_s,
                                           c.chunk_tokens,
                                           c.cache_tokens,
                                           c.disk_bytes,
                                           c.checkpoint_bytes,
                                           c.bytes_per_token,
                                           c.pinned,
                                           c.last_asked_unix_s};
    return made;
  }

  ContextInfo info;
  std::vector<const char*> file_list;
};

struct CContextList : reform_context_list {
  static std::unique_ptr<CContextList> make(std::vector<ContextInfo> infos) {
    auto made = std::make_unique<CContextList>();
    for (ContextInfo& info : infos) {
      made->owned.push_back(CContext::make(std::move(info)));
      made->list.push_back(made->owned.back().get());
    }
    made->n = made->list.size();
    made->contexts = made->list.data();
    return made;
  }

  std::vector<std::unique_ptr<CContext>> owned;
  std::vector<const reform_context*> list;
};

struct CIngestResult : reform_ingest_result {
  static std::unique_ptr<CIngestResult> make(IngestResult r) {
    static constexpr const char* kOutcomes[] = {"ingested", "resumed", "unchanged", "appended", "replaced"};
    auto made = std::make_unique<CIngestResult>();
    made->owned_context = CContext::make(std::move(r.context));
    made->owned_report.set(std::move(r.timings), std::move(r.memory));
    made->owned_evicted = std::move(r.evicted);
    for (const Eviction& e : made->owned_evicted)
      made->evicted_list.push_back({e.context.c_str(), e.bytes, e.last_used_unix_s});
    static_cast<reform_ingest_result&>(*made) = {
        made->owned_context.get(), kOutcomes[size_t(r.outcome)], r.tokens_run,
        &made->owned_report,       made->evicted_list.size(),    made->evicted_list.data()};
    return made;
  }

  std::vector<Eviction> owned_evicted;
  std::vector<reform_eviction> evicted_list;
  std::unique_ptr<CContext> owned_context;
  CReport owned_report;
};

struct CVerifiedList : reform_verified_list {
  static std::unique_ptr<CVerifiedList> make(std::vector<VerifiedContext> contexts) {
    auto made = std::make_unique<CVerifiedList>();
    made->value = std::move(contexts);
    made->problems.reserve(made->value.size());
    made->owned.reserve(made->value.size());
    for (const VerifiedContext& c : made->value) {
      std::vector<const char*>& problems = made->problems.emplace_back();
      for (const std::string& problem : c.problems) problems.push_back(problem.c_str());
      made->owned.push_back({c.name.c_str(), c.id.c_str(), c.state.c_str(), c.replacement, c.n_tokens, c.checked_bytes,
                             c.n_damages, problems.size(), problems.data()});
      made->list.push_back(&made->owned.back());
    }
    static_cast<reform_verified_list&>(*made) = {made->list.size(), made->list.data()};
    return made;
  }

  std::vector<VerifiedContext> value;
  std::vector<std::vector<const char*>> problems;
  std::vector<reform_verified_context> owned;
  std::vector<const reform_verified_context*> list;
};

struct CArchiveResult : reform_archive_result {
  static std::unique_ptr<CArchiveResult> make(ArchiveResult r) {
    auto made = std::make_unique<CArchiveResult>();
    made->owned_context = CContext::make(std::move(r.context));
    made->digest = std::move(r.xxh3_128);
    static_cast<reform_archive_result&>(*made) = {made->owned_context.get(), r.archive_bytes, made->digest.c_str()};
    return made;
  }

  std::unique_ptr<CContext> owned_context;
  std::string digest;
};

struct CSources {
  void set(const std::vector<Source>& sources) {
    owned.reserve(sources.size());
    parts.reserve(sources.size());
    for (const Source& s : sources) {
      std::vector<reform_score_part>& own = parts.emplace_back();
      for (const ScorePart& part : s.parts) own.push_back({part.name.c_str(), part.score});
      owned.push_back({s.context.c_str(), s.file.c_str(), s.text.c_str(), s.text.size(), s.begin_byte, s.end_byte,
                       s.edge, s.edge ? 0.0 : s.score, s.begin_line, s.round, own.size(), own.data(), s.best.begin_byte,
                       s.best.end_byte, s.best.begin_line, s.best.text_begin, s.best.text_bytes});
      list.push_back(&owned.back());
    }
  }

  std::vector<reform_source> owned;
  std::vector<std::vector<reform_score_part>> parts;
  std::vector<const reform_source*> list;
};

struct CAskResult : reform_ask_result {
  static std::unique_ptr<CAskResult> make(AskResult result) {
    auto made = std::make_unique<CAskResult>();
    AskResult& r = made->value = std::move(result);
    made->owned_sources.set(r.sources);
    const std::vector<const reform_source*>& sources = made->owned_sources.list;
    made->owned_report.set(std::move(r.timings), std::move(r.memory));
    static_cast<reform_ask_result&>(*made) = {r.answer.c_str(),
                                              r.finish_reason.c_str(),
                                              r.prompt.c_str(),
                                              sources.size(),
                                              sources.data(),
                                              r.gathered_tokens,
                                              r.edge_tokens,
                                              r.question_tokens,
                                              r.template_tokens,
                                              r.recomputed_tokens,
                                              &made->owned_report,
                                              r.confidence,
                                              r.method.c_str(),
                                              r.full_model_tokens,
                                              r.bytes_read,
                                              r.empty_because.c_str(),
                                              r.reasoning.c_str(),
                                              r.reasoning_tokens,
                                              r.reasoning_finish_reason.c_str()};
    return made;
  }

  AskResult value;
  CSources owned_sources;
  CReport owned_report;
};

struct CSearchResult : reform_search_result {
  static std::unique_ptr<CSearchResult> make(SearchResult result) {
    auto made = std::make_unique<CSearchResult>();
    SearchResult& r = made->value = std::move(result);
    made->owned_sources.set(r.sources);
    made->owned_report.set(std::move(r.timings), std::move(r.memory));
    const std::vector<const reform_source*>& sources = made->owned_sources.list;
    static_cast<reform_search_result&>(*made) = {
        r.question.c_str(), sources.size(),      sources.data(), r.gathered_tokens, r.edge_tokens,
        r.question_tokens,  &made->owned_report, r.confidence,   r.method.c_str(),  r.bytes_read};
    return made;
  }

  SearchResult value;
  CSources owned_sources;
  CReport owned_report;
};

struct CSearchList : reform_search_list {
  const reform_search_result* add(SearchResult result) {
    owned.push_back(CSearchResult::make(std::move(result)));
    list.push_back(owned.back().get());
    static_cast<reform_search_list&>(*this) = {list.size(), list.data()};
    return list.back();
  }

  std::vector<std::unique_ptr<CSearchResult>> owned;
  std::vector<const reform_search_result*> list;
};

struct CGenerateResult : reform_generate_result {
  static std::unique_ptr<CGenerateResult> make(GenerateResult result) {
    auto made = std::make_unique<CGenerateResult>();
    made->value = std::move(result);
    made->owned_report.set(std::move(made->value.timings), std::move(made->value.memory));
    static_cast<reform_generate_result&>(*made) = {
        made->value.text.c_str(),     made->value.finish_reason.c_str(),
        &made->owned_report,          made->value.empty_because.c_str(),
        made->value.prompt.c_str(),   made->value.reasoning.c_str(),
        made->value.reasoning_tokens, made->value.reasoning_finish_reason.c_str()};
    return made;
  }

  GenerateResult value;
  CReport owned_report;
};

// `face` is the C base of a result that make() returned.
template <class Owned, class Face>
void free_result(const Face* face) {
  std::unique_ptr<const Owned>{static_cast<const Owned*>(face)};
}

}  // namespace reform
