// reform verify: reads and checks everything that contexts hold on the disk.
#include <fmt/format.h>
#include <reform/verify.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

std::string describe(const VerifiedContext& c) {
  const std::string name = printable(c.name.empty() ? c.id : c.name, false) + (c.replacement ? " (replacement)" : "");
  std::string text = fmt::format("{}: {}", name, c.state);
  if (c.state == "busy") return text + ", not checked: " + printable(c.problems.front(), false) + "\n";
  text += fmt::format(", {} tokens, {} checked\n", format_count(c.n_tokens), format_bytes(c.checked_bytes));
  for (const std::string& problem : c.problems) text += "  " + printable(problem, false) + "\n";
  const int64_t more = c.n_damages - int64_t(c.problems.size());
  if (more > 0) text += fmt::format("  and {} more\n", format_count(more));
  return text;
}

// "2 of 3 contexts are"
std::string how_many(std::ptrdiff_t n, size_t n_contexts) {
  return fmt::format("{} of {} contexts {}", n, n_contexts, n == 1 ? "is" : "are");
}

// Damage comes first, then what could not be read. A busy context is an error only if it was named.
Status verdict_of(const std::vector<VerifiedContext>& contexts, const std::vector<std::string>& names) {
  const auto count = [&](const char* state) {
    return std::count_if(contexts.begin(), contexts.end(), [&](const auto& c) { return c.state == state; });
  };
  const auto n_damaged = count("damaged"), n_unread = count("unreadable");
  if (n_damaged > 0) {
    return {Code::kCorrupt,
            fmt::format("{} damaged{}. If the disk itself fails, replace it first; otherwise `reform rm NAME` removes "
                        "a damaged one, and its text can be ingested again",
                        how_many(n_damaged, contexts.size()),
                        n_unread > 0 ? fmt::format(", and {} could not be read", n_unread) : "")};
  }
  if (n_unread > 0) {
    const auto first = std::ranges::find(contexts, "unreadable", &VerifiedContext::state);
    return {Code::kIo, fmt::format("{} unreadable, and may be whole: {}", how_many(n_unread, contexts.size()),
                                   first->problems[0])};
  }
  const auto busy =
      std::find_if(contexts.begin(), contexts.end(), [](const auto& c) { return c.state == "busy" && !c.replacement; });
  if (names.empty() || busy == contexts.end()) return {};
  return {Code::kBusy, busy->problems.front()};
}

Status run_verify(const StoreFlags& flags, Output& out) {
  const std::string dir = store_path(flags.store_dir);
  auto store = open_existing(dir, flags.names);
  if (!store.ok()) return store.status();
  const CancelScope scope;
  const auto verified = store.value() != nullptr
                            ? verify(*store.value(), flags.names, show_bytes(out.progress()), &scope.token())
                            : std::vector<VerifiedContext>();
  if (verified.status().code == Code::kCancelled) return {Code::kCancelled, "stopped; nothing was changed"};
  if (!verified.ok()) return verified.status();
  for (const VerifiedContext& context : verified.value()) out.text(describe(context));
  if (verified.value().empty()) out.text(fmt::format("no contexts in {}\n", dir));
  out.object(verify_fields(dir, verified.value()));
  return verdict_of(verified.value(), flags.names);
}

}  // namespace

void add_verify(CLI::App& app, Invocation& invocation) {
  add_names_verb(app, invocation, "verify",
                 "Read and check everything that contexts hold on the disk; all contexts by default.\n"
                 "Damage is named by context and block or file; nothing is changed.",
                 "  reform verify\n"
                 "  reform verify bible",
                 run_verify);
}

}  // namespace reform::tool
