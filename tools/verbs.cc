#include "tools/verbs.h"

#include <CLI/CLI.hpp>
#include <memory>

namespace reform::tool {
namespace {

// CLI11's layout, with the usage line as one types it, and without tags for what the text says better.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string) const override {
    return "\nUsage: " + (app->get_parent() == nullptr ? "reform VERB [OPTIONS] ..." : form_of(*app)) + "\n";
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_positional() || option->get_type_size() == 0) return "";
    const std::string& value = option->get_default_str();
    return " " + option->get_type_name() + (value.empty() ? "" : "=" + value);
  }
};

}  // namespace

std::string form_of(const CLI::App& verb) {
  std::string form = "reform " + verb.get_name() + " [OPTIONS]";
  for (const CLI::Option* option : verb.get_options([](const CLI::Option* o) { return o->get_positional(); })) {
    const bool many = option->get_expected_max() >= CLI::detail::expected_max_vector_size;
    const std::string name = option->get_name(true);
    form += option->get_required() ? " " + name : " [" + name + "]";
    if (many && name.find("...") == std::string::npos) form += "...";
  }
  return form;
}

void use_help_formatter(CLI::App& app) {
  constexpr size_t kColumnWidth = 32;  // two spaces behind the longest option, --chat-template-kwargs JSON
  const auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(kColumnWidth);
  app.formatter(formatter);
}

CLI::App* add_verb(CLI::App& app, Invocation& invocation, const std::string& name, const std::string& description,
                   const std::string& example, std::function<Status(Output&)> run) {
  CLI::App* verb = app.add_subcommand(name, description);
  verb->footer("Example:\n" + example);
  verb->add_flag("--json", invocation.json, "One JSON object on standard output (docs/JSON.md)");
  verb->add_flag("-q,--quiet", invocation.quiet, "No progress and no remarks on standard error; errors still");
  // Runs before the verb's own flags are parsed, so that the message about a wrong flag can name the verb.
  verb->preparse_callback([&invocation, name, run = std::move(run)](size_t) {
    invocation.verb = name;
    invocation.run = run;
  });
  return verb;
}

}  // namespace reform::tool
