#include "tools/json_output.h"

#include <reform/version.h>

#include <cmath>

namespace reform::tool {
namespace {

double per_second(int64_t n, double ms) { return ms > 0 ? double(n) * 1000.0 / ms : 0.0; }

// First the names of llama.cpp's server, then ours.
Json timings_json(const Timings& t) {
  Json json = {{"prompt_n", t.prompt_n},
               {"prompt_ms", t.prompt_ms},
               {"prompt_per_second", per_second(t.prompt_n, t.prompt_ms)},
               {"predicted_n", t.predicted_n},
               {"predicted_ms", t.predicted_ms},
               {"predicted_per_second", per_second(t.predicted_n, t.predicted_ms)},
               {"total_ms", t.total_ms}};
  for (const auto& [phase, ms] : t.phases_ms) json[phase] = ms;
  return json;
}

Json memory_json(const MemoryReport& m) {
  Json json = {{"peak_host", m.peak_host_bytes},
               {"peak_gpu", m.peak_gpu_bytes},
               {"gpu_arena", m.gpu_arena_bytes},
               {"gpu_outside", m.gpu_outside_bytes}};
  for (const auto& [category, bytes] : m.peak_bytes) json[category] = bytes;
  return json;
}

Json gpu_memory_json(const MemoryReport& m) {
  Json json;  // null without a GPU
  for (const GpuCategory& c : m.gpu_categories) json[c.name] = {{"planned", c.planned_bytes}, {"peak", c.peak_bytes}};
  return json;
}

Json weights_json(const WeightReport& w) {
  if (w.place.empty()) return Json();
  return {{"place", w.place},
          {"resident_layers", w.resident_layers},
          {"streamed_layers", w.streamed_layers},
          {"planned_tokens_per_second", w.planned_tokens_per_second}};
}

Json confidence_json(double confidence) { return confidence < 0 ? Json() : Json(confidence); }

Json source_json(const Source& source) {
  Json parts = Json::array();
  for (const ScorePart& part : source.parts) parts.push_back({{"name", part.name}, {"score", part.score}});
  return {{"context", source.context},
          {"file", source.file},
          {"begin_byte", source.begin_byte},
          {"end_byte", source.end_byte},
          {"begin_line", source.begin_line},
          {"best_begin_byte", source.best.begin_byte},
          {"best_end_byte", source.best.end_byte},
          {"best_begin_line", source.best.begin_line},
          {"kind", source.edge ? "edge" : "match"},
          {"score", source.edge || std::isnan(source.score) ? Json() : Json(source.score)},
          {"round", source.round == 0 ? Json() : Json(source.round)},
          {"parts", std::move(parts)},
          {"text", source.text}};
}

Json evicted_json(const std::vector<Eviction>& evicted) {
  Json list = Json::array();
  for (const Eviction& e : evicted)
    list.push_back({{"context", e.context}, {"bytes", e.bytes}, {"last_used_unix_s", e.last_used_unix_s}});
  return list;
}

Json context_json(const ContextInfo& c) {
  const Json settings = Json::parse(c.settings_json, nullptr, /*allow_exceptions=*/false);
  return {{"name", c.name},
          {"id", c.id},
          {"state", c.state},
          {"problem", c.problem.empty() ? Json() : Json(c.problem)},
          {"model", {{"name", c.model_name}, {"path", c.model_path}, {"fingerprint", c.model_fingerprint}}},
          {"policy", c.policy},
          {"depth", c.depth.empty() ? Json() : Json(c.depth)},
          {"chunk_tokens", c.chunk_tokens},
          {"cache_tokens", c.cache_tokens},
          {"files", c.files},
          {"n_tokens", c.n_tokens},
          {"source_bytes", c.source_bytes},
          {"disk_bytes", c.disk_bytes},
          {"checkpoint_bytes", c.checkpoint_bytes},
          {"bytes_per_token", c.bytes_per_token},
          {"created_unix_s", c.created_unix_s},
          {"last_asked_unix_s", c.last_asked_unix_s == 0 ? Json() : Json(c.last_asked_unix_s)},
          {"pinned", c.pinned},
          {"settings", settings.is_discarded() ? Json() : settings}};
}

}  // namespace

Json with_header(const std::string& verb, const Json& fields) {
  Json json = {{"schema_version", kJsonSchemaVersion}, {"verb", verb}};
  json.update(fields);
  return json;
}

std::string dump(const Json& object) { return object.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json error_fields(const Status& status) {
  return {{"error", {{"code", int(status.code)}, {"name", code_name(status.code)}, {"message", status.message}}}};
}

Json version_fields() {
  return {{"version", kVersion},
          {"store_format", kStoreFormatVersion},
          {"json_schema", kJsonSchemaVersion},
          {"cuda", cuda_built_in()}};
}

Json contexts_fields(const std::string& store_dir, const std::vector<ContextInfo>& contexts, const StoreUse& use) {
  Json list = Json::array();
  for (const ContextInfo& context : contexts) list.push_back(context_json(context));
  return {{"store", store_dir},
          {"used_bytes", use.used_bytes},
          {"max_store_bytes", use.max_bytes == 0 ? Json() : Json(use.max_bytes)},
          {"when_full", use.evict_when_full ? "evict" : "stop"},
          {"contexts", std::move(list)}};
}

Json show_fields(const std::string& store_dir, const ContextInfo& context) {
  return {{"store", store_dir}, {"context", context_json(context)}};
}

Json names_fields(const std::string& store_dir, const char* what, const std::vector<std::string>& names) {
  return {{"store", store_dir}, {what, names}};
}

Json heads_fields(const HeadSearchResult& r, const std::string& out_file) {
  Json layers = Json::array(), depths = Json::array(), sets = Json::array();
  for (const auto& layer : r.layers)
    layers.push_back({{"layer", layer.layer}, {"best_head", layer.best_head}, {"recall", layer.recall}});
  for (const auto& d : r.depths) {
    depths.push_back({{"depth", d.share}, {"last_layer", d.last_layer}, {"n_heads", d.n_heads}, {"recall", d.recall}});
  }
  for (const auto& set : r.sets) {
    sets.push_back({{"name", set.name}, {"exit_layer", set.exit_layer}, {"heads", set.heads}, {"recall", set.recall}});
  }
  Json timings = {{"total_ms", r.timings.total_ms}};
  for (const auto& [phase, ms] : r.timings.phases_ms) timings[phase] = ms;
  return {{"out", out_file.empty() ? Json() : Json(out_file)},
          {"kept_at", r.kept_at.empty() ? Json() : Json(r.kept_at)},
          {"n_layers", r.n_layers},
          {"samples", {{"texts", r.n_texts}, {"questions", r.n_questions}, {"tokens", r.n_tokens}}},
          {"recall_tokens", kHeadRecallTokens},
          {"words_recall", r.words_recall},
          {"layers", std::move(layers)},
          {"depths", std::move(depths)},
          {"sets", std::move(sets)},
          {"timings", std::move(timings)},
          {"memory_bytes", memory_json(r.memory)},
          {"gpu_memory_bytes", gpu_memory_json(r.memory)},
          {"gpu_weights", weights_json(r.memory.gpu_weights)}};
}

Json doctor_fields(const DoctorReport& r) {
  Json advice = Json::array();
  for (const DoctorAdvice& a : r.advice) advice.push_back({{"about", a.about}, {"text", a.text}});
  const auto known = [&](double value) { return r.disk_problem.empty() ? Json(value) : Json(); };
  return {{"kernel", r.kernel},
          {"cpu",
           {{"name", r.cpu},
            {"isa", r.isa},
            {"cores", r.n_cores},
            {"cores_machine", r.n_cores_machine},
            {"quota_cores", r.cpu_quota_cores == 0 ? Json() : Json(r.cpu_quota_cores)}}},
          {"memory",
           {{"total_bytes", r.memory_bytes},
            {"available_bytes", r.memory_available_bytes},
            {"limit_bytes", r.memory_limit_bytes == 0 ? Json() : Json(r.memory_limit_bytes)},
            {"left_bytes", r.memory_left_bytes}}},
          {"gpu", {{"seen", r.gpus}, {"built_in", r.gpu_built_in}}},
          {"store", r.store_dir},
          {"disk",
           {{"measured", r.measured_dir},
            {"file_system", r.file_system},
            {"free_bytes", r.disk_free_bytes},
            {"total_bytes", r.disk_total_bytes},
            {"io", r.io},
            {"io_remark", r.io_remark.empty() ? Json() : Json(r.io_remark)},
            {"problem", r.disk_problem.empty() ? Json() : Json(r.disk_problem)},
            {"sequential_read_bytes_per_s", known(r.sequential_read_bytes_per_s)},
            {"random_reads_per_s", known(r.random_reads_per_s)}}},
          {"advice", std::move(advice)}};
}

Json verify_fields(const std::string& store_dir, const std::vector<VerifiedContext>& contexts) {
  Json list = Json::array();
  int64_t n_damaged = 0;
  for (const VerifiedContext& c : contexts) {
    n_damaged += c.state == "damaged";
    list.push_back({{"name", c.name},
                    {"id", c.id},
                    {"state", c.state},
                    {"replacement", c.replacement},
                    {"n_tokens", c.n_tokens},
                    {"checked_bytes", c.checked_bytes},
                    {"n_damages", c.n_damages},
                    {"problems", c.problems}});
  }
  return {{"store", store_dir}, {"n_damaged", n_damaged}, {"contexts", std::move(list)}};
}

Json export_fields(const std::string& store_dir, const std::string& file, const ArchiveResult& result) {
  return {{"store", store_dir},
          {"name", result.context.name},
          {"file", file},
          {"n_tokens", result.context.n_tokens},
          {"archive_bytes", result.archive_bytes},
          {"xxh3_128", result.xxh3_128}};
}

Json import_fields(const std::string& store_dir, const std::string& file, const ArchiveResult& result) {
  return {{"store", store_dir},
          {"file", file},
          {"outcome", result.unchanged ? "unchanged" : "imported"},
          {"archive_bytes", result.archive_bytes},
          {"xxh3_128", result.xxh3_128},
          {"evicted", evicted_json(result.evicted)},
          {"context", context_json(result.context)}};
}

const char* outcome_name(IngestResult::Outcome outcome) {
  switch (outcome) {
    case IngestResult::Outcome::kIngested:
      return "ingested";
    case IngestResult::Outcome::kResumed:
      return "resumed";
    case IngestResult::Outcome::kUnchanged:
      return "unchanged";
    case IngestResult::Outcome::kAppended:
      return "appended";
    case IngestResult::Outcome::kReplaced:
      return "replaced";
  }
  return "ingested";
}

Json ingest_fields(const IngestResult& result, const std::vector<LeftOut>& left_out) {
  Json left = Json::array();
  for (const LeftOut& kind : left_out) left.push_back({{"why", kind.why}, {"files", kind.n}, {"first", kind.first}});
  return {{"outcome", outcome_name(result.outcome)},
          {"tokens_run", result.tokens_run},
          {"evicted", evicted_json(result.evicted)},
          {"left_out", std::move(left)},
          {"context", context_json(result.context)},
          {"timings", timings_json(result.timings)},
          {"memory_bytes", memory_json(result.memory)},
          {"gpu_memory_bytes", gpu_memory_json(result.memory)},
          {"gpu_weights", weights_json(result.memory.gpu_weights)}};
}

Json ask_fields(const std::vector<std::string>& contexts, const std::string& question, const AskResult& result,
                bool with_prompt) {
  Json sources = Json::array();
  for (const Source& source : result.sources) sources.push_back(source_json(source));
  Json json = {{"contexts", contexts},
               {"question", question},
               {"answer", result.answer},
               {"finish_reason", result.finish_reason},
               {"empty_because", result.empty_because},
               {"reasoning", result.reasoning},
               {"reasoning_tokens", result.reasoning_tokens},
               {"reasoning_finish_reason", result.reasoning_finish_reason},
               {"method", result.method},
               {"confidence", confidence_json(result.confidence)},
               {"sources", std::move(sources)},
               {"gathered_tokens", result.gathered_tokens},
               {"edge_tokens", result.edge_tokens},
               {"question_tokens", result.question_tokens},
               {"template_tokens", result.template_tokens},
               {"recomputed_tokens", result.recomputed_tokens},
               {"full_model_tokens", result.full_model_tokens},
               {"bytes_read", result.bytes_read},
               {"timings", timings_json(result.timings)},
               {"memory_bytes", memory_json(result.memory)},
               {"gpu_memory_bytes", gpu_memory_json(result.memory)},
               {"gpu_weights", weights_json(result.memory.gpu_weights)}};
  if (with_prompt) json["prompt"] = result.prompt;
  return json;
}

Json search_fields(const std::vector<std::string>& contexts, const SearchResult& result, int64_t top) {
  Json sources = Json::array(), timings = {{"total_ms", result.timings.total_ms}};
  for (const Source& source : result.sources) {
    if (top == 0 || int64_t(sources.size()) < top) sources.push_back(source_json(source));
  }
  for (const auto& [phase, ms] : result.timings.phases_ms) timings[phase] = ms;
  return {{"contexts", contexts},
          {"question", result.question},
          {"method", result.method},
          {"confidence", confidence_json(result.confidence)},
          {"sources", std::move(sources)},
          {"gathered_tokens", result.gathered_tokens},
          {"edge_tokens", result.edge_tokens},
          {"question_tokens", result.question_tokens},
          {"bytes_read", result.bytes_read},
          {"timings", std::move(timings)},
          {"memory_bytes", memory_json(result.memory)},
          {"gpu_memory_bytes", gpu_memory_json(result.memory)},
          {"gpu_weights", weights_json(result.memory.gpu_weights)}};
}

Json generate_fields(const ModelInfo& model, const GenerateResult& result, bool with_prompt) {
  Json json = {{"model", {{"name", model.name}, {"path", model.path}, {"architecture", model.architecture}}},
               {"text", result.text},
               {"finish_reason", result.finish_reason},
               {"empty_because", result.empty_because},
               {"reasoning", result.reasoning},
               {"reasoning_tokens", result.reasoning_tokens},
               {"reasoning_finish_reason", result.reasoning_finish_reason},
               {"timings", timings_json(result.timings)},
               {"memory_bytes", memory_json(result.memory)},
               {"gpu_memory_bytes", gpu_memory_json(result.memory)},
               {"gpu_weights", weights_json(result.memory.gpu_weights)}};
  if (with_prompt) json["prompt"] = result.prompt;
  return json;
}

}  // namespace reform::tool
