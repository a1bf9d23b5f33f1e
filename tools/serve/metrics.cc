#include "tools/serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/text_serializer.h>

#include <sstream>

namespace reform::tool {
namespace {

const prometheus::Histogram::BucketBoundaries kSeconds = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,  2.5,
                                                          5,    10,    25,   50,  100,  250, 500};

constexpr const char* kStoreCategory = "store";  // has an account of its own, which is not the engine's

}  // namespace

// The registry gives what it has under a name, or makes it.
void Metrics::count(const char* name, const char* help, const prometheus::Labels& labels, double by) {
  prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(labels).Increment(by);
}

void Metrics::set(const char* name, const char* help, const prometheus::Labels& labels, int64_t value) {
  prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add(labels).Set(double(value));
}

void Metrics::count_request(const std::string& path, int http_status) {
  count("reform_requests_total", "Requests by path and HTTP status",
        {{"path", path}, {"status", std::to_string(http_status)}}, 1);
}

void Metrics::count_answer(const Timings& timings) {
  count_tokens("prompt", timings.prompt_n - timings.cached_n);
  count_tokens("cached", timings.cached_n);
  count_tokens("answer", timings.predicted_n);
  const auto seconds = [&](const std::string& phase, double ms) {
    prometheus::BuildHistogram()
        .Name("reform_phase_seconds")
        .Help("How long the phases of answers and searches took, others' turns included")
        .Register(registry_)
        .Add({{"phase", phase}}, kSeconds)
        .Observe(ms / 1000);
  };
  seconds("total", timings.total_ms);
  for (const auto& [phase, ms] : timings.phases_ms) seconds(phase.substr(0, phase.rfind("_ms")), ms);
}

void Metrics::count_read_tokens(int64_t n_tokens) { count_tokens("read", n_tokens); }

void Metrics::count_tokens(const char* kind, int64_t n) {
  count("reform_tokens_total",
        "Tokens: of prompts that were run, of prompts that were kept, of answers, of texts that were read",
        {{"kind", kind}}, double(n));
}

Result<std::string> Metrics::text(const Engine& engine, Store& store, const Seats& seats) {
  set("reform_model_info", "The model that is served", {{"name", engine.model().name}, {"isa", engine.model().isa}}, 1);
  set("reform_answers", "Answers that are being made or waited for", {}, seats.n_taken());
  set("reform_answers_limit", "The most of them (--queue)", {}, seats.n_seats());
  const MemoryReport memory = engine.memory();
  for (const auto& [category, bytes] : memory.current_bytes)
    if (category != kStoreCategory)
      set("reform_memory_bytes", "Accounted memory in use, by category", {{"category", category}}, bytes);
  for (const auto& [category, bytes] : memory.peak_bytes)
    if (category != kStoreCategory)
      set("reform_memory_peak_bytes", "The most of it so far", {{"category", category}}, bytes);
  set("reform_memory_limit_bytes", "The cap on accounted memory; 0: none", {}, memory.cap_host_bytes);
  set("reform_process_peak_bytes", "The process's peak resident set", {}, memory.peak_host_bytes);
  const auto use = store.use();
  if (!use.ok()) return use.status();
  const auto contexts = store.list();
  if (!contexts.ok()) return contexts.status();
  set("reform_store_bytes", "Disk that the store takes", {}, use.value().used_bytes);
  set("reform_store_limit_bytes", "The cap on it; 0: none", {}, use.value().max_bytes);
  set("reform_contexts", "Contexts in the store", {}, int64_t(contexts.value().size()));
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, registry_.Collect());
  return out.str();
}

}  // namespace reform::tool
