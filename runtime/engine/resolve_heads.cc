// Finds the heads for a new context's embeddings: the user's, the shipped ones, those found before, or a search's.
#include <fmt/format.h>

#include "base/small_file.h"
#include "base/try.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/engine/head_search.h"

namespace reform {
namespace {

constexpr int64_t kMaxHeadsFileBytes = 1 << 20;
constexpr double kSearchDepth = 0.6;  // gives the sets fast and balanced

}  // namespace

std::string Engine::Impl::kept_heads_path() const {
  const std::string dir = cache_dir();
  return dir.empty() ? "" : fmt::format("{}/heads/{}.json", dir, info.fingerprint);
}

HeadSets Engine::Impl::shipped_sets() const {
  auto sets = parse_heads_file(shipped_heads_json(info.fingerprint), "", model->shape());
  return sets.ok() ? std::move(sets).value() : HeadSets();
}

HeadSets Engine::Impl::kept_sets() const {
  const auto json = read_small_file(kept_heads_path(), kMaxHeadsFileBytes);
  if (!json.ok()) return {};
  auto sets = parse_heads_file(json.value(), "", model->shape());
  return sets.ok() ? std::move(sets).value() : HeadSets();
}

bool Engine::Impl::keep_heads(const std::string& json) const {
  const std::string path = kept_heads_path();
  const Status s = path.empty() ? Status{Code::kNotFound, "no home directory is known"} : replace_file(path, json);
  if (!s.ok()) remark(LogLevel::kWarning, "the heads found could not be kept: " + s.message);
  return s.ok();
}

Heads Engine::Impl::paper_heads() const {
  if (Heads shipped = shipped_sets()[kPaperDepth].heads; !shipped.empty()) return shipped;
  return kept_sets()[kPaperDepth].heads;
}

Result<HeadSets> Engine::Impl::find_heads(const std::string& depth, const IngestProgressCallback& progress,
                                          const CancelToken* cancel) {
  const ModelShape& shape = model->shape();
  if (!options.heads_file.empty()) {
    TRY_ASSIGN(const std::string json, read_small_file(options.heads_file, kMaxHeadsFileBytes));
    return parse_heads_file(json, options.heads_file, shape, info.fingerprint);
  }
  if (gguf->is_synthetic()) return HeadSets{{kPaperDepth, {synthetic_heads(shape), {}}}};
  if (HeadSets shipped = shipped_sets(); shipped.contains(kUsualDepth)) return shipped;
  const std::string kept = kept_heads_path();
  if (auto json = read_small_file(kept, kMaxHeadsFileBytes); json.ok()) {
    auto parsed = parse_heads_file(json.value(), kept, shape);
    if (parsed.ok() && parsed.value().contains(kUsualDepth)) return parsed;
    if (!parsed.ok()) remark(LogLevel::kWarning, kept + " is damaged; the heads are chosen again");
  }
  return first_heads(depth, progress, cancel);
}

// Of a model that none are known for, but perhaps the paper's.
Result<HeadSets> Engine::Impl::first_heads(const std::string& depth, const IngestProgressCallback& progress,
                                           const CancelToken* cancel) {
  const Heads paper = paper_heads();
  if (depth == kPaperDepth) {
    if (!paper.empty()) return HeadSets{{kPaperDepth, {paper, {}}}};
    return Status{Code::kUsage,
                  fmt::format("no heads for the paper's score are known for {}: they ship for some models, "
                              "and --heads FILE takes others; without --depth paper, heads for the usual "
                              "score are chosen",
                              info.name)};
  }
  if (depth == "deep")
    return Status{
        Code::kUsage,
        fmt::format("no heads for the depth 'deep' are known for {}; `reform heads` chooses them", info.name)};
  remark(LogLevel::kInfo,
         fmt::format("no heads are known for {} yet: choosing them on sample texts, once, which takes about two "
                     "minutes on two free cores; `reform heads` takes longer and chooses better",
                     info.name));
  TRY_ASSIGN(const int64_t n_questions, questions_within(*this, kSearchDepth, head_search_s));
  const HeadSearchOptions search{.n_questions = n_questions, .minutes = 0, .depth = kSearchDepth};
  TRY_ASSIGN(HeadSearch found, run_head_search(*this, search, /*with_curve=*/false, progress, cancel));
  if (!paper.empty()) found.sets[kPaperDepth] = {paper, {}};
  keep_heads(heads_file_json(found.sets, info.name, info.fingerprint));
  return found.sets;
}

Result<HeadSet> Engine::Impl::resolve_heads(const std::string& depth, const IngestProgressCallback& progress,
                                            const CancelToken* cancel) {
  if (heads.empty() || !heads.contains(depth.empty() ? kUsualDepth : depth)) {
    TRY_ASSIGN(heads, find_heads(depth, progress, cancel));
  }
  return choose_set(heads, depth);
}

}  // namespace reform
