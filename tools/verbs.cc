#include "tools/verbs.h"

#include <CLI/CLI.hpp>

namespace reform::tool {

CLI::App* add_verb(CLI::App& app, Invocation& invocation, const std::string& name, const std::string& description,
                   const std::string& example, std::function<Status(Output&)> run) {
  CLI::App* verb = app.add_subcommand(name, description);
  verb->footer("Example:\n" + example);
  verb->add_flag("--json", invocation.json, "One JSON object on standard output (docs/JSON.md)");
  verb->add_flag("-q,--quiet", invocation.quiet, "No progress and no remarks on standard error; errors still");
  // Runs before the verb's own flags are parsed, so that an error in them knows the verb.
  verb->preparse_callback([&invocation, name, run = std::move(run)](size_t) {
    invocation.verb = name;
    invocation.run = run;
  });
  return verb;
}

}  // namespace reform::tool
