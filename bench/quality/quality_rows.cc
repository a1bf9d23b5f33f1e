// Runs one text through phase 1 and gather under several approximations, in memory. Prints as one JSON object which
// facts' sentences lie wholly inside the gathered passages, how many of the gathered tokens are the exact run's too,
// and how near the embedding rows are to the exact run's. quality.py makes the texts and the table.
//
// It runs the engine's own Compressor, Scorer and Gatherer on ApproximateDevice. Questions are asked as on a GPU: with
// BF16 products if the text was read with FP8 ones.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/try.h"
#include "bench/phase1.h"
#include "bench/quality/approximate_device.h"
#include "runtime/compress/compress.h"
#include "runtime/compress/head_set.h"
#include "runtime/engine/memory_plan.h"
#include "runtime/gather/gather.h"
#include "runtime/gather/scorer.h"
#include "runtime/model/fingerprint.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model.h"
#include "runtime/model/weights/plan.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform::bench {
namespace {

using nlohmann::json;

constexpr int64_t kEdgeTokens = 256, kPoolWindow = 65;

struct Options {
  ReadingOptions reading{.model = "", .text = "", .policy = "h2o"};
  std::string facts;
  std::vector<std::string> rows;
  std::vector<int64_t> gather_tokens = {512, 2048};
};

struct Fact {
  std::string question;
  int64_t begin_byte = 0, end_byte = 0;
};

struct Text : TokenisedText {
  std::vector<Fact> facts;
};

// What is gathered for one question with one budget.
struct Gathered {
  std::vector<int64_t> tokens;  // by score, ascending
  bool found = false;
};

struct RunResult {
  std::vector<std::byte> rows;                  // [n_tokens, row_bytes]
  std::vector<std::vector<Gathered>> gathered;  // [n_facts][n_budgets]
  double seconds = 0;                           // of reading the text
};

Result<Text> read_text_and_facts(const Options& options, const Tokenizer& tokenizer) {
  Text text;
  TRY_ASSIGN(static_cast<TokenisedText&>(text), read_text(options.reading.text, tokenizer));
  TRY_ASSIGN(const std::string facts, read_file(options.facts));
  const json root = json::parse(facts, nullptr, /*allow_exceptions=*/false);
  if (!root.is_array()) return Status{Code::kUsage, options.facts + ": no list of facts"};
  for (const json& fact : root) {
    text.facts.push_back(
        {fact.value("question", ""), fact.value("begin_byte", int64_t{0}), fact.value("end_byte", int64_t{0})});
  }
  return text;
}

bool covered(const Text& text, const Fact& fact, const std::vector<Span>& spans) {
  int64_t at = fact.begin_byte;
  for (const Span& s : spans) {  // ascending
    if (text.begin_bytes[size_t(s.begin_token)] <= at) at = std::max(at, text.begin_bytes[size_t(s.end_token)]);
  }
  return at >= fact.end_byte;
}

class QualityRun {
 public:
  QualityRun(const Options& options, const Text& text, const Tokenizer& tokenizer, const Model& model,
             const Heads& heads)
      : options_(options),
        text_(text),
        tokenizer_(tokenizer),
        model_(model),
        heads_(heads),
        pool_(options.reading.threads),
        device_(best_isa(), pool_, account_, rounded_) {}

  Result<RunResult> run(const Approximation& approximation) {
    RunResult result;
    TRY_ASSIGN(const CompressOptions compress, compress_options(options_.reading, tokenizer_));
    const CompressSizes sizes = sizes_for_both(compress);
    const OpLimits limits = Compressor::limits(model_.shape(), device_, sizes);
    TRY_ASSIGN(auto workspace,
               Buffer<std::byte>::create(account_, MemoryCategory::kWorkspace, device_.workspace_bytes(limits)));
    const auto ops = device_.make_ops(limits, workspace.span());
    TRY_ASSIGN(auto compressor, Compressor::create(model_, {device_, ops.get(), account_}, heads_, compress, sizes));
    layout_ = compressor->layout();
    device_.use(approximation);
    const auto begun = std::chrono::steady_clock::now();
    TRY(run_text(*compressor, compress, text_.tokens.ids, [&](std::span<const std::byte> bytes) {
      result.rows.insert(result.rows.end(), bytes.begin(), bytes.end());
    }));
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    if (approximation.products != Products::kAsTheyAre)
      device_.use({"question", approximation.products <= Products::kBf16 ? approximation.products : Products::kBf16});
    for (const Fact& fact : text_.facts) {
      TRY_ASSIGN(auto gathered, ask(*compressor, *ops, result.rows, fact));
      result.gathered.push_back(std::move(gathered));
    }
    return result;
  }

  const EmbeddingLayout& layout() const { return layout_; }

 private:
  Result<std::vector<Gathered>> ask(Compressor& compressor, Ops& ops, std::span<const std::byte> rows,
                                    const Fact& fact) {
    TRY_ASSIGN(const std::vector<int32_t> ids, tokenizer_.encode_plain(fact.question));
    if (ids.empty() || int64_t(ids.size()) > kMaxQuestionTokens) {
      return Status{Code::kUsage, fmt::format("a question of {} tokens", ids.size())};
    }
    TRY_ASSIGN(const auto question, compressor.run_question(ids, nullptr));
    const std::vector<std::byte> question_rows(question.begin(), question.end());
    TRY_ASSIGN(const auto scorer,
               Scorer::create({device_, &ops, account_}, layout_, int64_t(ids.size()), text_.n_tokens()));
    TRY(scorer->set_question(question_rows));
    TRY_ASSIGN(const auto scores, scorer->score(rows));
    std::vector<Gathered> all;
    const int64_t n_tokens = text_.n_tokens(), edge_tokens = kEdgeTokens;
    for (const int64_t budget : options_.gather_tokens) {
      Gatherer gatherer(budget, kPoolWindow);
      gatherer.begin_context(n_tokens, kEdgeTokens);
      gatherer.add_scores(scores);
      gatherer.end_context();
      const std::vector<GatheredToken> chosen = gatherer.take();
      Gathered gathered;
      for (const GatheredToken& t : chosen) gathered.tokens.push_back(t.token);
      gathered.found = covered(text_, fact, make_spans(chosen, {&n_tokens, 1}, {&edge_tokens, 1}));
      all.push_back(std::move(gathered));
    }
    return all;
  }

  const Options& options_;
  const Text& text_;
  const Tokenizer& tokenizer_;
  const Model& model_;
  const Heads& heads_;
  MemoryAccount account_;
  ThreadPool pool_;
  RoundedWeights rounded_;
  ApproximateDevice device_;
  EmbeddingLayout layout_;
};

// Each token's row has a cosine with the exact run's row, the mean over its heads. Gives the mean over tokens, and the
// value below which one in a hundred lies.
json row_cosines(const EmbeddingLayout& layout, std::span<const std::byte> rows, std::span<const std::byte> exact) {
  std::vector<double> cosines;
  double sum = 0;
  for (int64_t r = 0; r < int64_t(rows.size()) / layout.row_bytes(); ++r) {
    double of_row = 0;
    for (int64_t h = 0; h < layout.n_heads; ++h) {
      const int8_t* x = layout.values(rows, r) + h * layout.head_dim;
      const int8_t* y = layout.values(exact, r) + h * layout.head_dim;
      double xy = 0, xx = 0, yy = 0;
      for (int64_t i = 0; i < layout.head_dim; ++i) xy += x[i] * y[i], xx += x[i] * x[i], yy += y[i] * y[i];
      of_row += xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : double(xx == yy);
    }
    cosines.push_back(of_row / double(layout.n_heads));
    sum += cosines.back();
  }
  const auto low = cosines.begin() + ptrdiff_t(cosines.size() / 100);
  std::nth_element(cosines.begin(), low, cosines.end());
  return {{"mean", sum / double(cosines.size())}, {"percentile_1", *low}};
}

json describe(const Options& options, const EmbeddingLayout& layout, const RunResult& run, const RunResult& exact) {
  json budgets = json::array();
  for (size_t b = 0; b < options.gather_tokens.size(); ++b) {
    json found = json::array();
    int64_t n_same = 0, n_exact = 0;
    for (size_t f = 0; f < run.gathered.size(); ++f) {
      const Gathered &mine = run.gathered[f][b], &theirs = exact.gathered[f][b];
      found.push_back(mine.found);
      std::vector<int64_t> same;
      std::set_intersection(mine.tokens.begin(), mine.tokens.end(), theirs.tokens.begin(), theirs.tokens.end(),
                            std::back_inserter(same));
      n_same += int64_t(same.size()), n_exact += int64_t(theirs.tokens.size());
    }
    budgets.push_back({{"gather_tokens", options.gather_tokens[b]},
                       {"found", found},
                       {"same_tokens", n_same},
                       {"exact_tokens", n_exact}});
  }
  return {{"seconds", run.seconds}, {"budgets", budgets}, {"row_cosine", row_cosines(layout, run.rows, exact.rows)}};
}

Status run_all(const Options& options) {
  TRY_ASSIGN(const auto gguf, Gguf::open(options.reading.model));
  MemoryAccount account;
  ThreadPool pool(1);
  const auto host = make_cpu_device(best_isa(), pool, account);
  TRY_ASSIGN(const auto model, Model::create(*gguf));
  TRY(model->move_to(*host, account, WeightPlace::kAuto));
  TRY_ASSIGN(const auto tokenizer, Tokenizer::create(*gguf));
  const std::string heads_json = shipped_heads_json(compute_fingerprint(*gguf));
  if (heads_json.empty()) return {Code::kUsage, options.reading.model + ": no heads are shipped for it"};
  TRY_ASSIGN(const HeadSets sets, parse_heads_file(heads_json, "heads", model->shape()));
  TRY_ASSIGN(const HeadSet set, choose_set(sets, "paper"));  // what it compares is gathered by the paper's score
  TRY_ASSIGN(const Text text, read_text_and_facts(options, *tokenizer));
  QualityRun quality(options, text, *tokenizer, *model, set.heads);
  TRY_ASSIGN(const RunResult exact, quality.run(*find_approximation("exact")));
  json out = {{"n_tokens", text.n_tokens()}, {"rows", json::object()}};
  out["rows"]["exact"] = describe(options, quality.layout(), exact, exact);
  for (const std::string& name : options.rows) {
    const Approximation* const approximation = find_approximation(name);
    if (approximation == nullptr) return {Code::kUsage, "unknown row " + name};
    TRY_ASSIGN(const RunResult run, quality.run(*approximation));
    out["rows"][name] = describe(options, quality.layout(), run, exact);
  }
  fmt::print("{}\n", out.dump());
  return {};
}

}  // namespace
}  // namespace reform::bench

int main(int argc, char** argv) {
  reform::bench::Options options;
  CLI::App app{"What approximations of phase 1 cost in what is gathered from one text"};
  app.add_option("--model", options.reading.model, "GGUF whose heads are shipped")->required();
  app.add_option("--text", options.reading.text, "file to read")->required();
  app.add_option("--facts", options.facts, "JSON list: question, begin_byte, end_byte of its sentence")->required();
  app.add_option("--policy", options.reading.policy);
  app.add_option("--rows", options.rows, "approximations beside `exact`")->delimiter(',');
  app.add_option("--gather-tokens", options.gather_tokens)->delimiter(',');
  app.add_option("--chunk-tokens", options.reading.chunk_tokens);
  app.add_option("--cache-tokens", options.reading.cache_tokens);
  app.add_option("--threads", options.reading.threads);
  CLI11_PARSE(app, argc, argv);
  const reform::Status status = reform::bench::run_all(options);
  if (!status.ok()) fmt::print(stderr, "quality_rows: {}\n", status.message);
  return status.ok() ? 0 : 1;
}
