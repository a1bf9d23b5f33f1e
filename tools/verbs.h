// One function per verb: adds its flags to the command line and leaves behind what to run.
#pragma once

#include <reform/status.h>

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace reform::tool {

class Output;

// What the command line asked for.
struct Invocation {
  std::string verb;
  bool json = false;
  bool quiet = false;
  std::function<Status(Output&)> run;
};

void add_ingest(CLI::App& app, Invocation& invocation);
void add_ask(CLI::App& app, Invocation& invocation);
void add_generate(CLI::App& app, Invocation& invocation);
void add_contexts(CLI::App& app, Invocation& invocation);
void add_show(CLI::App& app, Invocation& invocation);
void add_doctor(CLI::App& app, Invocation& invocation);
void add_rm(CLI::App& app, Invocation& invocation);
void add_verify(CLI::App& app, Invocation& invocation);
void add_export(CLI::App& app, Invocation& invocation);
void add_import(CLI::App& app, Invocation& invocation);
void add_pin(CLI::App& app, Invocation& invocation);
void add_unpin(CLI::App& app, Invocation& invocation);

void use_help_formatter(CLI::App& app);  // before any verb is added: they inherit it

// The flags every verb has, and the link from the verb to `run`.
CLI::App* add_verb(CLI::App& app, Invocation& invocation, const std::string& name, const std::string& description,
                   const std::string& example, std::function<Status(Output&)> run);

}  // namespace reform::tool
