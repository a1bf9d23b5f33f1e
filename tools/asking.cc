#include "tools/asking.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string_view>

#include "tools/numbers.h"
#include "tools/open_engine.h"
#include "tools/progress.h"
#include "tools/text.h"

namespace reform::tool {
namespace {

// A match is shown whole unless it is very long, as the answer may be anywhere in it. The edges are the same for every
// question, so they are shown shortened.
constexpr int kMatchChars = 1000, kEdgeChars = 160;

// Several names of which one is missing are usually a question without quotes.
Status with_quotes_advice(const Status& status, const std::vector<std::string>& names) {
  if (status.code != Code::kNotFound || names.size() < 2) return status;
  return {Code::kNotFound, status.message + "; the last argument is the question, in quotes"};
}

// `given`, or else the path of the model that made the first context. Looks at each context.
Result<std::string> find_model(Store& store, const std::vector<std::string>& names, const std::string& given) {
  std::string path = given;
  const Result<std::vector<ContextInfo>> found = store.find_all(names);
  if (!found.ok()) return found.status();
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    const ContextInfo& context = found.value()[i];
    if (context.problem_code != Code::kOk)
      return Status{context.problem_code, fmt::format("context '{}' is {}: {}", name, context.state, context.problem)};
    if (context.state == "busy")
      return Status{Code::kBusy,
                    fmt::format("context '{}' is being written by another process; ask when it is done", name)};
    if (!path.empty()) continue;
    if (context.model_path.empty())
      return Status{
          Code::kNotFound,
          fmt::format("context '{}' was imported without its model, {} (fingerprint {}); say where that is with "
                      "--model FILE",
                      name, context.model_name, context.model_fingerprint)};
    std::error_code error;
    const bool is_there = std::filesystem::exists(context.model_path, error) || error;  // refusals are Engine's to tell
    if (!context.model_path.starts_with(kSyntheticModel) && !is_there)
      return Status{Code::kNotFound,
                    fmt::format("the model of context '{}' is no longer at {}; say with --model FILE where it is", name,
                                context.model_path)};
    path = context.model_path;
  }
  return path;
}

// What is shown of a source: the part that fits best.
std::string_view best_text(const Source& source) {
  return std::string_view(source.text).substr(source.best.text_begin, source.best.text_bytes);
}

// file:line, of the first character shown.
std::string place_of(const Source& source) {
  const std::string_view text = best_text(source);
  const size_t shown = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const auto skipped = std::count(text.begin(), text.begin() + int64_t(shown), '\n');
  return fmt::format("{}:{}", printable(source.file, false), source.best.begin_line + skipped);
}

std::string why_chosen(const Source& source) {
  if (source.edge) return " (edge)";
  if (std::isnan(source.score)) return "";
  return fmt::format(" ({}score {:.3f})", source.round > 1 ? "second round, " : "", source.score);
}

std::string method_help(bool for_search) {
  std::string help = for_search ? "How passages are chosen:" : "How the question is answered:";
  for (const MethodInfo& method : list_methods()) {
    if (method.searches || !for_search) help += fmt::format("\n{}: {}", method.name, method.summary);
  }
  return help;
}

}  // namespace

void add_gather_flags(CLI::App& verb, GatherOptions& options, bool for_search) {
  const auto add = [&](const char* name, int64_t& value, Range<int64_t> range, const char* help) {
    add_number_or_auto(verb, name, value, GatherOptions::kAuto, range, help)->group("Gather");
  };
  verb.add_option("--method", options.method, method_help(for_search))->type_name("NAME")->capture_default_str();
  add("--gather-tokens", options.gather_tokens, ranges::kGatherTokens, "Tokens of the text that the method chooses");
  add("--edge-tokens", options.edge_tokens, ranges::kEdgeTokens, "First and last tokens of the text, on top of those");
  verb.add_option("--gather-score", options.gather_score,
                  "late: whole passages, by late interaction (the default where the context's heads allow it)\n"
                  "paper: runs of tokens, by the paper's score")
      ->type_name("NAME")
      ->group("Gather");
  add("--rounds", options.rounds, ranges::kRounds,
      "late: with 2, a quarter of the tokens is for a second round, asked with the sentences that fit best");
  add_number(verb, "--pool-window", options.pool_window, ranges::kPoolWindow,
             "paper: window of the scores' maximum; odd")
      ->default_str(std::to_string(options.pool_window))
      ->check([](const std::string& word) {
        const bool is_even = !word.empty() && std::string_view("02468").find(word.back()) != std::string_view::npos;
        constexpr auto kRange = ranges::kPoolWindow;
        if (!is_even) return std::string();
        return fmt::format("is '{}'; expected an odd number from {} to {}", word, kRange.least, kRange.most);
      })
      ->group("Gather");
}

void add_top_flag(CLI::App& verb, std::optional<int64_t>& top, const std::string& about) {
  constexpr Range<int64_t> kAnyCount{0, std::numeric_limits<int64_t>::max()};
  add_number(verb, "--top", top, kAnyCount, about);
}

Result<Asked> open_asked(const std::string& store_dir, const std::vector<std::string>& names, const EngineFlags& engine,
                         bool with_question, Output& out) {
  Asked asked;
  if (std::find(names.begin(), names.end(), "") != names.end())
    return Status{Code::kUsage, "NAME: a context's name must not be empty"};
  const auto advised = [&](const Status& status) { return with_question ? with_quotes_advice(status, names) : status; };
  auto store = open_existing(store_dir, names);
  if (!store.ok()) return advised(store.status());
  asked.store = std::move(store).value();
  const Result<std::string> model = find_model(*asked.store, names, engine.model);
  if (!model.ok()) return advised(model.status());
  out.progress().phase("loading the model");
  auto opened = open_engine(model.value(), engine.options, out);
  if (!opened.ok()) return opened.status();
  asked.engine = std::move(opened).value();
  return asked;
}

void print_ranked(Output& out, const std::vector<Source>& ranked, int64_t top) {
  const size_t n = top == 0 ? ranked.size() : std::min(size_t(top), ranked.size());
  for (size_t i = 0; i < n; ++i) {
    const Source& s = ranked[i];
    out.text(fmt::format("  [{}] {} bytes {}-{}{}\n    {}\n", printable(s.context, false), place_of(s), s.begin_byte,
                         s.end_byte, why_chosen(s), quote(best_text(s), s.edge ? kEdgeChars : kMatchChars)));
  }
  if (n < ranked.size()) out.text(fmt::format("  … and {} more; --top 0 shows all\n", ranked.size() - n));
}

}  // namespace reform::tool
