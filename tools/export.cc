// reform export: a finished context as one portable file.
#include <fmt/format.h>
#include <reform/archive.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/descriptors.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/store_places.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

struct ExportFlags {
  std::string store_dir, name, file;
  bool force = false;
};

constexpr const char* kStdout = "-";

Status check_stdout(const Output& out) {
  if (out.json()) return {Code::kUsage, "'-' and --json both want standard output; name a file"};
  if (out.stdout_is_terminal())
    return {Code::kUsage, "the file would be written to the terminal; name a file, or redirect standard output"};
  return {};
}

Status check_file(const std::string& file, const Store& store) {
  if (StorePlaces(store.dir()).hold(file))
    return {Code::kUsage, file + ": lies in the store; an export goes elsewhere"};
  if (const std::string stream = stream_into(file); !stream.empty())
    return {Code::kUsage,
            fmt::format("{}: {} goes there already; name another file, or '-', which writes the export to "
                        "standard output",
                        file, stream)};
  return {};
}

Status run_export(const ExportFlags& flags, Output& out) {
  const bool to_stdout = flags.file == kStdout;
  if (to_stdout) {
    if (Status s = check_stdout(out); !s.ok()) return s;
  }
  auto store = open_existing(flags.store_dir, {flags.name});
  if (!store.ok()) return store.status();
  if (!to_stdout) {
    if (Status s = check_file(flags.file, *store.value()); !s.ok()) return s;
  }
  const CancelScope scope;
  ExportTarget to{flags.file, flags.force, {}};
  if (to_stdout) {
    to.sink = [&](const char* bytes, size_t n) -> Status {
      if (out.binary({bytes, n})) return {};
      return out.broken_pipe() ? Status{Code::kIo, "standard output was closed"} : out.write_status();
    };
  }
  const auto done = export_context(*store.value(), flags.name, to, show_bytes(out.progress()), &scope.token());
  if (out.broken_pipe()) return {};  // the exit code says so
  if (done.status().code == Code::kCancelled) return {Code::kCancelled, "stopped; nothing was written"};
  if (done.status().code == Code::kExists) return {Code::kExists, done.status().message + "; --force replaces it"};
  if (!done.ok()) return done.status();
  const ArchiveResult& r = done.value();
  const std::string line = fmt::format("{}: {} tokens, {} written to {}; XXH3-128 {}", printable(flags.name, false),
                                       format_count(r.context.n_tokens), format_bytes(r.archive_bytes),
                                       to_stdout ? "standard output" : printable(flags.file, false), r.xxh3_128);
  if (to_stdout) {
    out.progress().clear();
    out.progress().remark(line);
    return {};
  }
  out.text(line + "\n");
  out.object(export_fields(store.value()->dir(), flags.file, r));
  return {};
}

}  // namespace

void add_export(CLI::App& app, Invocation& invocation) {
  const auto flags = std::make_shared<ExportFlags>();
  CLI::App* verb = add_verb(app, invocation, "export",
                            "Write a finished context to one portable file, for `reform import` anywhere.\n"
                            "The file holds the text, the index and the caches, but neither dates nor folders.",
                            "  reform export bible bible.reform\n"
                            "  reform export bible - | ssh host reform import -",
                            [flags](Output& out) { return run_export(*flags, out); });
  verb->add_option("NAME", flags->name, "Name of the context")->required();
  verb->add_option("FILE", flags->file, "File to write; '-' is standard output")->required();
  verb->add_flag("--force", flags->force, "Replace FILE if there is one");
  add_store_flag(*verb, flags->store_dir);
}

}  // namespace reform::tool
