// reform import: a context from a file that export wrote.
#include <fmt/format.h>
#include <reform/archive.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <istream>
#include <memory>

#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/open_engine.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

struct ImportFlags {
  std::string store_dir, file;
  ImportOptions options;
  StoreOptions store_options;
};

constexpr const char* kStdin = "-";

ArchiveSource read_from(std::istream& in, const CancelToken& cancel) {
  return [&in, &cancel](char* buffer, size_t capacity) -> Result<size_t> {
    in.read(buffer, std::streamsize(capacity));
    if (cancel.cancelled()) return Status{Code::kCancelled, "stopped"};
    if (in.bad()) return Status{Code::kIo, "standard input cannot be read"};
    return size_t(in.gcount());
  };
}

void print_result(const ImportFlags& flags, const std::string& store_dir, const ArchiveResult& r, Output& out) {
  const ContextInfo& c = r.context;
  if (r.unchanged) {
    out.text(fmt::format("{}: the same context is already there ({} tokens); nothing to import\n",
                         printable(c.name, false), format_count(c.n_tokens)));
    return out.object(import_fields(store_dir, flags.file, r));
  }
  out.text(fmt::format("{}: {} tokens, {} read and checked; on disk {}\n", printable(c.name, false),
                       format_count(c.n_tokens), format_bytes(r.archive_bytes), format_disk(c)));
  if (c.model_path.empty()) {
    out.progress().remark(
        fmt::format("reform: a question needs its model, {}: ask with --model FILE", printable(c.model_name, false)));
  }
  out.object(import_fields(store_dir, flags.file, r));
}

constexpr const char* kInterrupted = "interrupted; nothing was imported";

Status run_import(const ImportFlags& flags, Output& out) {
  const bool from_stdin = flags.file == kStdin;
  if (from_stdin && isatty(STDIN_FILENO) == 1)
    return {Code::kUsage, "standard input is the terminal; name a file, or feed it with < FILE"};
  auto store = Store::open(flags.store_dir, flags.store_options);
  if (!store.ok()) return store.status();
  const CancelScope scope(kInterrupted);
  InterruptibleInput input(STDIN_FILENO, scope.token());
  std::istream standard_input(&input);
  ImportOrigin from{from_stdin ? "standard input" : flags.file, {}};
  if (from_stdin) from.source = read_from(standard_input, scope.token());
  ImportOptions options = flags.options;
  options.log = out.log();
  if (!options.model_path.empty()) expect_lost_model(options.model_path, out);
  const auto done =
      import_context(*store.value(), from, options, show_bytes(out.progress(), from.path), &scope.token());
  // Whoever wrote to a pipe may have been stopped, too, so that the archive looks cut short.
  if (!done.ok() && scope.token().cancelled()) return {Code::kCancelled, kInterrupted};
  if (!done.ok()) return done.status();
  print_result(flags, store.value()->dir(), done.value(), out);
  return {};
}

}  // namespace

void add_import(CLI::App& app, Invocation& invocation) {
  const auto flags = std::make_shared<ImportFlags>();
  CLI::App* verb =
      add_verb(app, invocation, "import",
               "Take in a context that `reform export` wrote.\n"
               "It appears once all of the file has been read and checked. The same file again changes nothing.",
               "  reform import bible.reform --model qwen.gguf\n"
               "  reform import bible.reform --as \"bible, old\"",
               [flags](Output& out) { return run_import(*flags, out); });
  verb->add_option("FILE", flags->file, "File that export wrote; '-' is standard input")->required();
  verb->add_option("--as", flags->options.name, "Name of the context here; by default the one it had")
      ->type_name("NAME");
  add_model_flags(*verb, flags->options.model_path, "GGUF file of its model: checked, and found there from then on");
  add_store_flag(*verb, flags->store_dir);
  add_store_limit_flags(*verb, flags->store_options);
}

}  // namespace reform::tool
