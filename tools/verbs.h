// One function per verb: it adds the verb and its options to the command line, and says what to run.
#pragma once

#include <reform/status.h>

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace reform::tool {

class Output;

// What the command line asks for.
struct Invocation {
  std::string verb;
  bool json = false;
  bool quiet = false;
  std::function<Status(Output&)> run;
};

using AddVerb = void(CLI::App& app, Invocation& invocation);
AddVerb add_ingest, add_ask, add_search, add_contexts, add_show, add_pin, add_unpin, add_rm, add_verify, add_export,
    add_import, add_generate, add_serve, add_heads, add_doctor;
inline constexpr AddVerb* kVerbs[] = {  // in the order of --help
    add_ingest, add_ask,    add_search, add_contexts, add_show,  add_pin,   add_unpin, add_rm,
    add_verify, add_export, add_import, add_generate, add_serve, add_heads, add_doctor};

void use_help_formatter(CLI::App& app);     // call it before adding verbs: they inherit it
std::string form_of(const CLI::App& verb);  // "reform ingest [OPTIONS] NAME FILE..."

// Adds the flags that every verb has, and links the verb to `run`.
CLI::App* add_verb(CLI::App& app, Invocation& invocation, const std::string& name, const std::string& description,
                   const std::string& example, std::function<Status(Output&)> run);

}  // namespace reform::tool
