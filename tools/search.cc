// reform search: finds the passages that match questions.
#include <fmt/format.h>
#include <reform/search.h>
#include <reform/text.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/asking.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/numbers.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

constexpr size_t kMostQuestions = 65536;  // in one file, as all are held

struct SearchFlags {
  EngineFlags engine;
  std::string store_dir, file, encoding;
  std::vector<std::string> names_and_question;
  SearchOptions options;
  std::optional<int64_t> top;
};

// One question a line. Each has its line for a name.
Result<std::vector<SearchQuestion>> read_questions(const std::string& file, const std::string& encoding) {
  const CancelScope scope;
  const Result<std::string> read = read_text(file, kMostQuestionsBytes, encoding, scope.token());
  if (!read.ok()) return read.status();
  std::string_view text = read.value();
  std::vector<SearchQuestion> questions;
  for (int64_t line = 1; !text.empty(); ++line) {
    std::string_view question = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(question.size() + 1, text.size()));
    if (question.ends_with('\r')) question.remove_suffix(1);
    if (is_blank(question)) continue;
    if (questions.size() == kMostQuestions)
      return Status{Code::kBadText, fmt::format("{}: over {} questions, which is the most; split it", shown_input(file),
                                                kMostQuestions)};
    questions.push_back({std::string(question), fmt::format("{}:{}", shown_input(file), line)});
  }
  if (questions.empty()) return Status{Code::kUsage, fmt::format("{}: there is no question in it", file)};
  return questions;
}

// Shows results as they come.
class Results {
 public:
  Results(const SearchFlags& flags, const std::vector<std::string>& names, Output& out)
      : flags_(flags), names_(names), out_(out) {}

  bool show(const SearchResult& result) {
    const bool many = !flags_.file.empty();
    if (many) out_.text(fmt::format("{}{}\n", n_ == 0 ? "" : "\n", printable(result.question, false)));
    if (result.sources.empty()) out_.text("  no passages\n");
    print_ranked(out_, result.sources, flags_.top.value_or(kTopPassages));
    if (is_far(result.confidence)) out_.text("  [nothing in the text is close to this question]\n");
    const Json fields = search_fields(names_, result, flags_.top.value_or(0));
    many ? out_.line(fields) : out_.object(fields);
    ++n_;
    own_ms_ += result.timings.total_ms;
    load_ms_ = result.timings.phases_ms.front().second;
    peak_bytes_ = result.memory.peak_host_bytes;
    return !out_.broken_pipe() && out_.write_status().ok();
  }

  void print_cost() const {
    if (n_ == 0) return;
    out_.progress().remark(fmt::format(
        "[{} to load; {} {}, {:.1f} ms each; peak memory {}]", format_duration(load_ms_ / 1000), format_count(n_),
        n_ == 1 ? "question" : "questions", own_ms_ / double(n_), format_bytes(peak_bytes_)));
  }

 private:
  const SearchFlags& flags_;
  const std::vector<std::string>& names_;
  Output& out_;
  int64_t n_ = 0, peak_bytes_ = 0;
  double own_ms_ = 0, load_ms_ = 0;
};

Status run_search(const SearchFlags& flags, Output& out) {
  std::vector<std::string> names = flags.names_and_question;
  std::vector<SearchQuestion> questions;
  if (Status s = flags.options.validate(); !s.ok()) return s;
  if (Status s = check_encoding(flags.encoding); !s.ok()) return s;
  if (flags.file.empty()) {
    questions.push_back({names.back()});
    names.pop_back();
  } else {
    auto read = read_questions(flags.file, flags.encoding);
    if (!read.ok()) return read.status();
    questions = std::move(read).value();
  }
  auto asked = open_asked(flags.store_dir, names, flags.engine, /*with_question=*/flags.file.empty(), out);
  if (!asked.ok()) return asked.status();
  const auto& [store, engine] = asked.value();

  const CancelScope scope;
  Results results(flags, names, out);
  SearchCallbacks callbacks;
  callbacks.on_phase = [&](const std::string& phase) { out.progress().phase(phase); };
  callbacks.on_result = [&](const SearchResult& result) { return results.show(result); };
  const Status status = search(*engine, *store, names, questions, flags.options, callbacks, &scope.token());
  if (status.ok()) results.print_cost();
  if (status.code == Code::kCancelled) return {Code::kCancelled, "stopped; what was shown is complete"};
  return status;
}

}  // namespace

void add_search(CLI::App& app, Invocation& invocation) {
  const auto flags = std::make_shared<SearchFlags>();
  CLI::App* verb =
      add_verb(app, invocation, "search",
               "Find the passages that match a question, best first; the last argument is the question.\n"
               "The model's answer is left out, so that a question takes little time once all is loaded.",
               "  reform search bible \"Who was thrown to the lions?\" --top 3\n"
               "  reform search alice bob --file questions.txt --json > found.jsonl   # a line per question\n"
               "  echo \"the lions' den\" | reform search bible --file -",
               [flags](Output& out) { return run_search(*flags, out); });
  CLI::Option* words = verb->add_option("NAME... QUESTION", flags->names_and_question,
                                        "Contexts, then the question; with --file contexts only")
                           ->required()
                           ->expected(-1);
  CLI::Option* file =
      verb->add_option("-f,--file", flags->file,
                       "Search for each line of this file; - is standard input, blank lines are skipped")
          ->type_name("FILE");
  verb->add_option("--encoding", flags->encoding, "That file's encoding, a name of `iconv -l`")
      ->type_name("NAME")
      ->default_str("UTF-8")
      ->needs(file);
  verb->final_callback([words, file] {
    if (file->empty() && words->count() < 2)
      throw CLI::ArgumentMismatch::AtLeast("NAME... QUESTION", 2, words->count());
  });
  add_top_flag(*verb, flags->top, "Show the N best passages; 0: all; by default 5, and all with --json");
  add_engine_flags(*verb, flags->engine, /*model_required=*/false);
  add_store_flag(*verb, flags->store_dir);
  add_gather_flags(*verb, flags->options, /*for_search=*/true);
  constexpr Range<int64_t> kSeeds{0, std::numeric_limits<int64_t>::max()};
  add_number(*verb, "-s,--seed", flags->options.seed, kSeeds, "random: the same seed draws the same passages")
      ->default_str("0");
}

}  // namespace reform::tool
