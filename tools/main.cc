// The reform command: parses, calls the library, prints. docs/CLI.md lists the exit codes.
#include <fmt/format.h>
#include <reform/engine.h>
#include <reform/exception_status.h>
#include <reform/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tools/descriptors.h"
#include "tools/empty_values.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/literal_words.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/stack_limit.h"
#include "tools/sudden_end.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

constexpr const char* kAbout =
    "reform reads a text far longer than a model's window once, keeps it as a context on disk,\n"
    "and answers questions about it from the passages that matter (REFORM, arXiv 2506.01215).";
constexpr const char* kExample =
    "Example:\n"
    "  reform ingest --model qwen.gguf bible kjv.txt\n"
    "  reform ask bible \"Who was thrown to the lions?\" --sources\n"
    "\n"
    "`reform VERB --help` explains a verb, `reform doctor` the machine and its limits.\n"
    "Exit codes, files, limits, signals: docs/CLI.md; --json: docs/JSON.md.";

using Words = std::vector<std::string>;

// `reform help VERB` is `reform VERB --help`.
Words words_of(int argc, char** argv) {
  Words words(argv + std::min(argc, 1), argv + argc);
  if (words.empty() || words.front() != "help") return words;
  words.erase(words.begin());
  words.emplace_back("--help");
  return words;
}

// Whether the option was given. For when parsing fails.
bool has_option(const Words& words, std::string_view option) {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, option) != end;
}

// A word in the place of a verb; "" if there is none.
std::string unknown_verb(const CLI::App& app) {
  const Words rest = app.remaining();
  const bool is_verb = app.get_subcommands().empty() && !rest.empty() && !rest.front().starts_with('-');
  return is_verb ? without_marks(rest.front()) : "";
}

int show_help(const CLI::App& app, ProgressLine& progress) {
  Output out("help", false, progress);
  if (const std::string verb = unknown_verb(app); !verb.empty())
    return out.finish({Code::kUsage, fmt::format("there is no verb '{}' (reform --help lists them)", verb)});
  const auto chosen = app.get_subcommands();
  out.text(chosen.empty() ? app.help() : chosen.front()->help());
  return out.finish({});
}

// "NAME or FILE is missing": if one of them was given, only the user knows which.
std::string describe_missing(const CLI::App& verb) {
  Words names;
  bool some_given = false;
  for (const CLI::Option* option : verb.get_options([](const CLI::Option* o) { return o->get_positional(); })) {
    if (!option->get_required()) continue;
    names.push_back(option->get_name(true));
    some_given = some_given || !option->empty();
  }
  const bool all = names.size() > 1 && !some_given;
  return fmt::format("{} {} missing", fmt::join(names, some_given ? " or " : " and "), all ? "are" : "is");
}

std::string describe_extra(const Words& words) {
  return fmt::format("The following {} not expected: {}", words.size() == 1 ? "argument was" : "arguments were",
                     fmt::join(words, " "));
}

// What is wrong with the command line. If an argument is missing or too many, it adds the right form.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  if (const std::string verb = unknown_verb(app); !verb.empty())
    return fmt::format("there is no verb '{}' (reform --help explains)", verb);
  const auto chosen = app.get_subcommands();
  const bool is_extra = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;  // CLI11 lists them backwards
  std::string what = without_marks(is_extra ? describe_extra(app.remaining(/*recurse=*/true)) : error.what());
  if (chosen.empty()) return fmt::format("{} (reform --help explains)", what);
  const CLI::App& verb = *chosen.front();
  const bool is_missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const bool is_option = what.starts_with('-') || what.find(" or -") != std::string::npos;
  const bool is_count = dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr;
  if (is_missing && !is_option) what = describe_missing(verb);
  // An option with a typing error has often swallowed the missing argument.
  for (const std::string& word : is_missing ? verb.remaining() : Words()) {
    if (word.starts_with('-') && word != "-" && word != "--")
      what += fmt::format("; there is no option {}", without_marks(word));
  }
  if ((is_missing || is_count) && !is_option) what += "; the form is: " + form_of(verb);
  return fmt::format("{} (reform {} --help explains)", what, verb.get_name());
}

Status print_version(Output& out) {
  out.text(fmt::format("reform {}\nstore format {}\nJSON schema {}\nCUDA {}\n", kVersion, kStoreFormatVersion,
                       kJsonSchemaVersion, cuda_built_in() ? "built in" : "not built in"));
  out.object(version_fields());
  return {};
}

Status run_guarded(const Invocation& invocation, Output& out) {
  // The library throws nothing, but what we use here may (the standard library, the JSON writer).
  try {
    return invocation.run(out);
  } catch (...) {
    return exception_status();
  }
}

int run(int argc, char** argv) {
  end_when_nothing_is_left();
  fill_standard_descriptors();
  install_signal_handlers();
  const Words words = words_of(argc, argv);
  const bool json = has_option(words, "--json");
  if (json) expect_json();
  if (const std::string stack = too_small_stack(); !stack.empty()) end_suddenly(Code::kMemoryCap, stack);

  CLI::App app(kAbout, "reform");
  use_help_formatter(app);
  app.footer(kExample);
  Invocation invocation;
  bool version = false;
  app.add_flag("--version", version,
               "Versions of the tool, of the store's format and of --json; whether CUDA is built in");
  app.add_flag("--json", invocation.json, "One JSON object on standard output");
  for (AddVerb* add : kVerbs) add(app, invocation);
  refuse_empty_values(app);
  take_marks_off(app);
  app.require_subcommand(0, 1);

  ProgressLine& progress = ProgressLine::standard_error();
  try {
    Words given = marked(words, value_options(app));
    std::reverse(given.begin(), given.end());  // CLI11 takes words from the back
    app.parse(std::move(given));
  } catch (const CLI::CallForHelp&) {
    return show_help(app, progress);
  } catch (const CLI::ParseError& error) {
    if (has_option(words, "--help") || has_option(words, "-h")) return show_help(app, progress);
    Output out(invocation.verb, json, progress);
    return out.finish({Code::kUsage, explain(app, error)});
  }
  if (version) {
    invocation.verb = "version";
    invocation.run = print_version;
  }
  if (invocation.json) expect_json();
  Output out(invocation.verb, invocation.json, progress);
  progress.set_quiet(invocation.quiet);
  if (!invocation.run) return out.finish({Code::kUsage, "no verb given (reform --help lists them)"});
  return out.finish(run_guarded(invocation, out));
}

}  // namespace
}  // namespace reform::tool

int main(int argc, char** argv) { return reform::tool::run(argc, argv); }
