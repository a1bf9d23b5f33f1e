#include "runtime/engine/head_search.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/heads/choose.h"
#include "runtime/heads/feature_pass.h"
#include "runtime/heads/feature_table.h"
#include "runtime/heads/samples.h"
#include "runtime/heads/search_work.h"

namespace reform {
namespace {

constexpr int64_t kFewestSamples = 5;   // one for each fold that is held out
constexpr int64_t kShortestSearch = 8;  // samples that a limit of time leaves: fewer choose badly
constexpr double kSettledShare = 0.01;  // of the work; before that, its rate says nothing
constexpr int kCurveSteps = 10;
constexpr double kShareSlack = 1e-6;
constexpr struct {
  const char* name;
  double share;  // of the layers
} kSetDepths[] = {{"fast", 0.3}, {"balanced", 0.6}, {"deep", 1.0}};

// The topmost layer whose projections come after at most this share of the layers.
int64_t last_layer_at(double share, int64_t n_layers) {
  return std::clamp<int64_t>(int64_t(share * double(n_layers) + kShareSlack), 0, n_layers - 1);
}

// nullptr: no set has this depth.
const char* set_name(double share) {
  for (const auto& depth : kSetDepths) {
    if (std::abs(depth.share - share) < kShareSlack) return depth.name;
  }
  return nullptr;
}

int64_t questions_per_sample() { return int64_t(join_samples(n_samples()).questions.size()) / n_samples(); }

// Reports where the search stands. Reading text is most of the work; asking and choosing are counted as so many tokens.
class SearchProgress {
 public:
  SearchProgress(const Engine::Impl& engine, const SearchText& text, int64_t tokens_saved,
                 const IngestProgressCallback& callback)
      : engine_(engine), callback_(callback), n_tokens_(int64_t(text.ids.size())), tokens_saved_(tokens_saved) {
    double n_asked = 0;
    for (const SampleQuestion& q : text.questions) n_asked += double(q.ids.size());
    asking_cost_ = tokens_saved < n_tokens_ ? n_asked * kQuestionTokenCost : 0;
    choosing_cost_ = double(n_tokens_) * (1 - kReadingShare);
    total_cost_ = asking_cost_ + double(n_tokens_ - tokens_saved) + choosing_cost_;
  }

  void asked(double share) { report(tokens_saved_, asking_cost_ * share); }
  void read(double tokens) {
    if (reading_since_ms_ < 0) reading_since_ms_ = watch_.elapsed_ms();
    report(tokens_saved_ + int64_t(tokens), asking_cost_ + double(read_) + tokens);
  }
  void saved(int64_t tokens) { tokens_saved_ += tokens, read_ += tokens; }
  void chosen(double share) { report(n_tokens_, total_cost_ - choosing_cost_ * (1 - share)); }

 private:
  void report(int64_t tokens, double cost) {
    if (!callback_) return;
    const double seconds = watch_.elapsed_ms() / 1000;
    callback_({.tokens_done = tokens,
               .tokens_saved = tokens_saved_,
               .tokens_total = n_tokens_,
               .tokens_per_s = read_ > 0 ? double(read_) / (seconds - reading_since_ms_ / 1000) : 0,
               .eta_s = cost > kSettledShare * total_cost_ ? (total_cost_ - cost) / cost * seconds : -1,
               .host_bytes = engine_.account.current_total_bytes(),
               .phase = "heads"});
  }

  const Engine::Impl& engine_;
  const IngestProgressCallback& callback_;
  const int64_t n_tokens_;
  int64_t tokens_saved_, read_ = 0;
  double reading_since_ms_ = -1;
  double asking_cost_ = 0, choosing_cost_ = 0, total_cost_ = 0;
  const Stopwatch watch_;
};

class Search {
 public:
  Search(Engine::Impl& engine, const HeadSearchOptions& options, bool with_curve,
         const IngestProgressCallback& progress, const CancelToken* cancel)
      : engine_(engine),
        options_(options),
        with_curve_(with_curve),
        progress_(progress),
        cancel_(cancel),
        shape_(engine.model->shape()),
        pass_options_{.last_layer = last_layer_at(options.depth, shape_.n_layers),
                      .bos = engine.tokenizer->add_bos() ? engine.tokenizer->bos() : -1,
                      .kv_type = engine.kv_type()},
        heads_(all_heads(shape_, pass_options_.last_layer)) {}

  Result<HeadSearch> run();

 private:
  Result<SearchText> text_of(int64_t n_samples) const;
  Result<int64_t> affordable_samples();
  Result<FeatureFile> open_file(const SearchText& text) const;
  std::string file_path() const;
  Result<Session<FeaturePass>> open_pass(const SearchText& text);
  Status read_text(const SearchText& text, FeatureFile& file, SearchProgress& progress);
  Status choose(FeatureTable& table, SearchProgress& progress, HeadSearch& found);
  void describe_layers(const FeatureTable& table, HeadSearchResult& report) const;

  Engine::Impl& engine_;
  const HeadSearchOptions& options_;
  const bool with_curve_;
  const IngestProgressCallback& progress_;
  const CancelToken* const cancel_;
  const ModelShape& shape_;
  const FeaturePassOptions pass_options_;
  const Heads heads_;
};

Result<SearchText> Search::text_of(int64_t n) const {
  return make_search_text(*engine_.tokenizer, engine_.known_tokens(), n, FeaturePass::section_tokens(shape_));
}

Result<Session<FeaturePass>> Search::open_pass(const SearchText& text) {
  SessionNeeds needs{.limits = FeaturePass::limits(shape_, *engine_.device, text),
                     .weights = FeaturePass::weights(pass_options_),
                     .beside = {},
                     .meanwhile = {},
                     .advice = fmt::format("fewer --questions or a larger {} would fit", engine_.cap_flag())};
  needs.meanwhile.host[MemoryCategory::kIndex] =
      FeatureTable::bytes(text, int64_t(heads_.size())) + HeadChooser::bytes(text);
  return engine_.open_session<FeaturePass>(
      needs, [&](const Site& site) { return FeaturePass::create(*engine_.model, site, text, pass_options_); }, cancel_);
}

// A first sample shows what a token, a question and a comparison of the two cost here.
Result<int64_t> Search::affordable_samples() {
  TRY_ASSIGN(const SearchText text, text_of(1));
  TRY_ASSIGN(auto pass, open_pass(text));
  Stopwatch watch;
  TRY(pass->ask_questions([](double) {}, cancel_));
  const double asking_ms = watch.lap_ms();
  const std::string path = file_path() + ".trial";
  std::error_code ignored;
  std::filesystem::remove(path, ignored);  // a whole one, of a process that was killed, would leave nothing to run
  FeatureShape shape{"trial", 1, int64_t(heads_.size()), text.n_questions(), {text.sections.front().size()}};
  TRY_ASSIGN(FeatureFile file, FeatureFile::open(path, std::move(shape)));
  TRY(pass->run_section(
      file, [](double) {}, cancel_));
  file.remove();
  const double scoring_ms = pass->scoring_ms(), running_ms = watch.lap_ms() - scoring_ms;
  const auto n_run = double(text.tokens_of(text.sections.front()).size()), n_tokens = double(text.ids.size());
  const double ms_per_token = running_ms / n_run;
  const double questions_ms = asking_ms - ms_per_token * std::min(n_run, double(FeaturePass::kAskedOverTokens));
  const double sample_ms = n_tokens * ms_per_token + std::max(questions_ms, 0.0);
  const double pair_ms = scoring_ms * n_tokens / n_run;  // of a sample's text with a sample's questions
  const double budget_ms = options_.minutes * 60e3 * kReadingShare;
  int64_t n = kShortestSearch;
  const auto cost_ms = [&](double samples) { return samples * (sample_ms + samples * pair_ms); };
  while (n < n_samples() && cost_ms(double(n + 1)) <= budget_ms) ++n;
  return n;
}

// Where the cache cannot be written, a search works, too, but does not go on after a stop.
std::string Search::file_path() const {
  const std::string name = fmt::format("{}-{}.features", engine_.info.fingerprint, pass_options_.last_layer);
  std::error_code error;
  if (const std::string dir = engine_.cache_dir(); !dir.empty()) {
    const std::string folder = dir + "/heads";
    std::filesystem::create_directories(folder, error);
    if (::access(folder.c_str(), W_OK) == 0) return folder + "/" + name;
  }
  return fmt::format("{}/reform-{}-{}", std::filesystem::temp_directory_path(error).string(), ::getpid(), name);
}

Result<FeatureFile> Search::open_file(const SearchText& text) const {
  RunningHash hash;
  hash.add_text(engine_.info.fingerprint);
  hash.add(text.ids.data(), text.ids.size() * sizeof(int32_t));
  for (const SampleQuestion& q : text.questions) hash.add(q.ids.data(), q.ids.size() * sizeof(int32_t));
  FeatureShape shape{hash.hex(), int64_t(text.samples.size()), int64_t(heads_.size()), text.n_questions(), {}};
  for (const PassageRange& section : text.sections) shape.section_passages.push_back(section.size());
  return FeatureFile::open(file_path(), std::move(shape));
}

Status Search::read_text(const SearchText& text, FeatureFile& file, SearchProgress& progress) {
  TRY_ASSIGN(auto pass, open_pass(text));
  TRY(pass->ask_questions([&](double share) { progress.asked(share); }, cancel_));
  while (!file.complete()) {
    const auto n = int64_t(text.tokens_of(text.sections[size_t(file.n_sections_done())]).size());
    Status status = pass->run_section(
        file, [&](double tokens) { progress.read(tokens); }, cancel_);
    if (status.ok()) status = engine_.gguf->check_unchanged();
    if (status.code == Code::kNoSpace || status.code == Code::kBadModel) file.remove();
    TRY(status);
    progress.saved(n);
  }
  return {};
}

void Search::describe_layers(const FeatureTable& table, HeadSearchResult& report) const {
  report.words_recall = table.lexical_alone();
  for (size_t h = 0; h < heads_.size(); ++h) {
    const Recall& recall = table.alone(int64_t(h));
    if (h == 0 || heads_[h].layer != heads_[h - 1].layer) report.layers.push_back({heads_[h].layer, "", {}});
    auto& best = report.layers.back();
    const auto key = [](const Recall& r) { return std::pair(r[1], r[2]); };  // within 1,024 tokens
    if (best.best_head.empty() || key(recall) > key(best.recall))
      best.best_head = to_string(heads_[h]), best.recall = recall;
  }
}

Status Search::choose(FeatureTable& table, SearchProgress& progress, HeadSearch& found) {
  HeadChooser chooser(table, heads_, *engine_.pool, cancel_);
  DepthResult depth{.last_layer = -1};
  for (int step = 1; step <= kCurveSteps; ++step) {
    const double share = double(step) / kCurveSteps;
    if (share > options_.depth + kShareSlack) break;
    const char* const name = set_name(share);
    if (name == nullptr && !with_curve_) continue;
    if (const int64_t last_layer = last_layer_at(share, shape_.n_layers); last_layer != depth.last_layer) {
      TRY_ASSIGN(depth, chooser.judge(last_layer));
    }
    found.report.depths.push_back({share, depth.last_layer, depth.n_heads, depth.recall});
    if (name != nullptr) {
      TRY_ASSIGN(HeadSet set, chooser.choose(depth));
      HeadSearchResult::Set said{name, exit_layer(set.heads), {}, depth.recall};
      for (const HeadRef& head : set.heads) said.heads.push_back(to_string(head));
      found.report.sets.push_back(std::move(said));
      found.sets[name] = std::move(set);
    }
    progress.chosen(share / options_.depth);
  }
  return {};
}

Result<HeadSearch> Search::run() {
  Stopwatch watch;
  HeadSearch found;
  HeadSearchResult& report = found.report;
  int64_t n = n_samples();
  if (options_.n_questions > 0)
    n = std::clamp((options_.n_questions - 1) / questions_per_sample() + 1, kFewestSamples, n);
  if (options_.minutes > 0) {
    TRY_ASSIGN(const int64_t affordable, affordable_samples());
    // What was begun goes on, though a second estimate may be a little less.
    const int64_t begun = FeatureFile::n_samples_in(file_path());
    n = std::min(n, begun >= kFewestSamples && begun <= affordable * 3 / 2 ? begun : affordable);
  }
  TRY_ASSIGN(const SearchText text, text_of(n));
  TRY_ASSIGN(FeatureFile file, open_file(text));
  int64_t n_saved = 0;
  for (int64_t s = 0; s < file.n_sections_done(); ++s)
    n_saved += int64_t(text.tokens_of(text.sections[size_t(s)]).size());
  SearchProgress progress(engine_, text, n_saved, progress_);
  if (!file.complete()) TRY(read_text(text, file, progress));
  const double read_ms = watch.lap_ms();
  TRY_ASSIGN(const auto beside, Reservation::create(engine_.account, MemoryCategory::kIndex,
                                                    FeatureTable::bytes(text, 0) + HeadChooser::bytes(text)));
  TRY_ASSIGN(const auto table, FeatureTable::create(file, text, engine_.known_tokens(), int64_t(heads_.size()),
                                                    engine_.account, cancel_));
  report.n_layers = shape_.n_layers;
  report.n_texts = n, report.n_questions = text.n_questions(), report.n_tokens = int64_t(text.ids.size());
  describe_layers(*table, report);
  TRY(choose(*table, progress, found));
  file.remove();
  const double choose_ms = watch.lap_ms();
  report.timings.phases_ms = {{"read_ms", read_ms}, {"choose_ms", choose_ms}};
  report.timings.total_ms = read_ms + choose_ms;
  report.memory = memory_report(engine_, nullptr);
  return found;
}

}  // namespace

Result<int64_t> questions_within(Engine::Impl& engine, double depth, double seconds) {
  const ModelShape& shape = engine.model->shape();
  const int64_t last_layer = last_layer_at(depth, shape.n_layers);
  TRY_ASSIGN(const SearchText all, make_search_text(*engine.tokenizer, engine.known_tokens(), n_samples(),
                                                    FeaturePass::section_tokens(shape)));
  int64_t n = kShortestSearch;
  while (n < n_samples() && search_seconds(shape, last_layer, all, n + 1) <= seconds) ++n;
  return n * questions_per_sample();
}

Result<HeadSearch> run_head_search(Engine::Impl& engine, const HeadSearchOptions& options, bool with_curve,
                                   const IngestProgressCallback& progress, const CancelToken* cancel) {
  return Search(engine, options, with_curve, progress, cancel).run();
}

}  // namespace reform
