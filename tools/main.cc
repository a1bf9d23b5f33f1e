// The reform command: parse, call the library, print. docs/CLI.md has the exit codes.
#include <fmt/format.h>
#include <reform/engine.h>
#include <reform/version.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/output.h"
#include "tools/progress.h"
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
    "`reform VERB --help` explains a verb. Exit codes and files: docs/CLI.md; --json: docs/JSON.md.";

// Before parsing has succeeded: was --json asked for?
bool wants_json(int argc, char** argv) {
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    if (std::string_view(argv[i]) == "--json") return true;
  }
  return false;
}

Status print_version(Output& out) {
  out.text(fmt::format("reform {}\nstore format {}\nJSON schema {}\nCUDA {}\n", kVersion, kStoreFormatVersion,
                       kJsonSchemaVersion, cuda_built_in() ? "built in" : "not built in"));
  out.object(version_fields());
  return {};
}

Status run_guarded(const Invocation& invocation, Output& out) {
  // The library throws nothing; what we use here (the standard library, the JSON writer) may.
  try {
    return invocation.run(out);
  } catch (const std::bad_alloc&) {
    return {Code::kMemoryCap, "out of memory"};
  } catch (const std::exception& e) {
    return {Code::kInternal, fmt::format("unexpected: {}", e.what())};
  }
}

int run(int argc, char** argv) {
  static const std::string interrupted = dump(with_header("", error_fields({Code::kCancelled, "interrupted"}))) + "\n";
  const bool json = wants_json(argc, argv);
  install_interrupt_handler(json ? interrupted.c_str() : "");

  CLI::App app(kAbout, "reform");
  use_help_formatter(app);
  app.footer(kExample);
  Invocation invocation;
  bool version = false;
  app.add_flag("--version", version,
               "Versions of the tool, of the store's format and of --json; whether CUDA is built in");
  app.add_flag("--json", invocation.json, "One JSON object on standard output");
  for (AddVerb* add : kVerbs) add(app, invocation);
  app.require_subcommand(0, 1);

  ProgressLine& progress = ProgressLine::standard_error();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    Output out("help", false, progress);
    const auto chosen = app.get_subcommands();
    out.text(chosen.empty() ? app.help() : chosen.front()->help());
    return out.finish({});
  } catch (const CLI::ParseError& e) {
    Output out(invocation.verb, json, progress);
    const auto chosen = app.get_subcommands();
    const std::string verb = chosen.empty() ? "" : " " + chosen.front()->get_name();
    const std::vector<std::string> rest = app.remaining();
    const bool unknown_verb = chosen.empty() && !rest.empty() && rest.front().rfind('-', 0) != 0;
    std::string what = unknown_verb ? fmt::format("there is no verb '{}'", rest.front()) : e.what();
    // What is missing is often what an option with a typing error has swallowed.
    if (!chosen.empty() && dynamic_cast<const CLI::RequiredError*>(&e) != nullptr) {
      for (const std::string& word : chosen.front()->remaining()) {
        if (word.starts_with('-') && word.size() > 1) what += fmt::format("; there is no option {}", word);
      }
    }
    return out.finish({Code::kUsage, fmt::format("{} (reform{} --help explains)", what, verb)});
  }
  if (version) {
    invocation.verb = "version";
    invocation.run = print_version;
  }
  Output out(invocation.verb, invocation.json, progress);
  progress.set_quiet(invocation.quiet);
  if (!invocation.run) return out.finish({Code::kUsage, "no verb given (reform --help lists them)"});
  return out.finish(run_guarded(invocation, out));
}

}  // namespace
}  // namespace reform::tool

int main(int argc, char** argv) { return reform::tool::run(argc, argv); }
