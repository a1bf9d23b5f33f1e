// reform contexts, show, pin, unpin, rm: what is in the store.
#include <fmt/format.h>
#include <reform/store.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>

#include "tools/flags.h"
#include "tools/json_output.h"
#include "tools/output.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

constexpr size_t kColumns = 8;
using Row = std::array<std::string, kColumns>;

Row context_row(const ContextInfo& c) {
  return {printable(c.name, false),
          printable(c.model_name, false),
          format_count(c.n_tokens),
          format_bytes(c.disk_bytes),
          format_count(std::llround(c.bytes_per_token)),
          c.state + (c.pinned ? ", pinned" : ""),
          format_date(c.created_unix_s),
          c.last_asked_unix_s == 0 ? "never" : format_date(c.last_asked_unix_s)};
}

std::string table(const std::vector<Row>& rows) {
  std::array<int, kColumns> widths{};
  for (const Row& row : rows) {
    for (size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string text;
  for (const Row& row : rows) {
    for (size_t i = 0; i < kColumns; ++i) {
      const std::string pad(size_t(widths[i] - display_width(row[i])), ' ');
      const bool is_number = i >= 2 && i <= 4;
      text += is_number ? pad + row[i] : i + 1 < kColumns ? row[i] + pad : row[i];
      text += i + 1 < kColumns ? "  " : "\n";
    }
  }
  return text;
}

Status run_contexts(const std::string& store_dir, Output& out) {
  const std::string dir = store_path(store_dir);
  auto store = open_existing(dir, {});
  if (!store.ok()) return store.status();
  const bool exists = store.value() != nullptr;
  const auto listed = exists ? store.value()->list() : std::vector<ContextInfo>();
  if (!listed.ok()) return listed.status();
  const auto use = exists ? store.value()->use() : StoreUse();
  if (!use.ok()) return use.status();
  std::vector<Row> rows = {{"NAME", "MODEL", "TOKENS", "ON DISK", "BYTES/TOKEN", "STATE", "CREATED", "ASKED"}};
  for (const ContextInfo& context : listed.value()) rows.push_back(context_row(context));
  out.text(rows.size() > 1 ? table(rows) : fmt::format("no contexts in {}\n", dir));
  if (use.value().max_bytes > 0) {
    out.text(
        fmt::format("{} of at most {} used; when the store is full, {}\n", format_bytes(use.value().used_bytes),
                    format_bytes(use.value().max_bytes),
                    use.value().evict_when_full ? "the contexts asked least recently are removed" : "an ingest stops"));
  }
  out.object(contexts_fields(dir, listed.value(), use.value()));
  return {};
}

std::string describe(const ContextInfo& c) {
  std::string text;
  const auto add = [&](const char* key, const std::string& value) {
    text += fmt::format("{:<13}{}\n", key, printable(value, false));
  };
  add("name", c.name);
  add("state", c.problem.empty() ? c.state : c.state + ": " + c.problem);
  add("tokens", format_count(c.n_tokens));
  add("text", format_bytes(c.source_bytes));
  for (const std::string& file : c.files) add("  file", file);
  add("on disk", format_disk(c));
  add("model", fmt::format("{} ({})", c.model_name, c.model_path.empty() ? "file not known: --model" : c.model_path));
  add("fingerprint", c.model_fingerprint);
  add("policy", fmt::format("{}, chunks of {} tokens, cache of {}", c.policy, format_count(c.chunk_tokens),
                            format_count(c.cache_tokens)));
  add("heads", fmt::format("{}: {}", c.depth.empty() ? "not a shipped set" : c.depth, c.heads));
  add("created", format_date(c.created_unix_s));
  add("last asked", c.last_asked_unix_s == 0 ? "never" : format_date(c.last_asked_unix_s));
  add("pinned", c.pinned ? "yes: it stays when the store is full" : "no");
  add("id", c.id);
  return text;
}

Status run_show(const StoreFlags& flags, Output& out) {
  auto store = open_existing(flags.store_dir, flags.names);
  if (!store.ok()) return store.status();
  const auto found = store.value()->find(flags.names.front());
  if (!found.ok()) return found.status();
  out.text(describe(found.value()));
  out.object(show_fields(store.value()->dir(), found.value()));
  return {};
}

// Checks all names before anything is done, so that all contexts are changed or none.
Status check_names(Store& store, const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::find(names.begin() + ptrdiff_t(i) + 1, names.end(), names[i]) != names.end())
      return {Code::kUsage, fmt::format("context '{}' is named twice", names[i])};
    if (const auto found = store.find(names[i]); !found.ok()) return found.status();
  }
  return {};
}

// Makes the change to each context named, and says that it is done: "pinned NAME".
Status change_each(const StoreFlags& flags, const char* done,
                   const std::function<Status(Store& store, const std::string& name)>& change, Output& out) {
  auto store = open_existing(flags.store_dir, flags.names);
  if (!store.ok()) return store.status();
  if (Status s = check_names(*store.value(), flags.names); !s.ok()) return s;
  for (const std::string& name : flags.names) {
    if (Status s = change(*store.value(), name); !s.ok()) return s;
    out.text(fmt::format("{} {}\n", done, printable(name, false)));
  }
  out.object(names_fields(store.value()->dir(), done, flags.names));
  return {};
}

Status run_pin(const StoreFlags& flags, Output& out) {
  const auto pin = [](Store& store, const std::string& name) { return store.set_pinned(name, true); };
  return change_each(flags, "pinned", pin, out);
}

Status run_unpin(const StoreFlags& flags, Output& out) {
  const auto unpin = [](Store& store, const std::string& name) { return store.set_pinned(name, false); };
  return change_each(flags, "unpinned", unpin, out);
}

Status run_rm(const StoreFlags& flags, Output& out) { return change_each(flags, "removed", &Store::remove, out); }

}  // namespace

void add_contexts(CLI::App& app, Invocation& invocation) {
  const auto store_dir = std::make_shared<std::string>();
  CLI::App* verb = add_verb(
      app, invocation, "contexts",
      "List the contexts in the store.\n"
      "BYTES/TOKEN counts all that is on disk; in a short text most of it is the checkpoint, which does not grow.",
      "  reform contexts --store ~/library", [store_dir](Output& out) { return run_contexts(*store_dir, out); });
  add_store_flag(*verb, *store_dir);
}

void add_show(CLI::App& app, Invocation& invocation) {
  add_names_verb(app, invocation, "show",
                 "Show one context: its files, its model, how it was read, what it takes on disk.\n"
                 "With --json also every setting it was begun with.",
                 "  reform show bible", run_show)
      ->description("Name of the context")
      ->required()
      ->expected(1);
}

void add_pin(CLI::App& app, Invocation& invocation) {
  add_names_verb(app, invocation, "pin",
                 "Keep contexts when the store is full (ingest --max-store-bytes, --when-full evict).\n"
                 "Only rm removes them then.",
                 "  reform pin bible", run_pin)
      ->required();
}

void add_unpin(CLI::App& app, Invocation& invocation) {
  add_names_verb(app, invocation, "unpin", "Let contexts go again when the store is full.", "  reform unpin bible",
                 run_unpin)
      ->required();
}

void add_rm(CLI::App& app, Invocation& invocation) {
  add_names_verb(app, invocation, "rm",
                 "Remove contexts from the store, whole or damaged.\n"
                 "The texts they were made from are not touched.",
                 "  reform rm bible", run_rm)
      ->required();
}

}  // namespace reform::tool
