#include <reform/verify.h>

#include <algorithm>

#include "base/try.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/text/progress_state.h"
#include "runtime/text/sources.h"

namespace reform {
namespace {

VerifiedContext describe(const ContextVerdict& verdict) {
  VerifiedContext v;
  v.name = verdict.meta.name, v.id = verdict.meta.id;
  const bool is_damaged = std::any_of(verdict.damages.begin(), verdict.damages.end(),
                                      [](const Status& damage) { return damage.code != Code::kIo; });
  v.state = !verdict.busy.ok() ? "busy" : is_damaged ? "damaged" : verdict.n_damages > 0 ? "unreadable" : "ok";
  v.replacement = verdict.replacement;
  v.n_tokens = verdict.meta.n_tokens;
  v.checked_bytes = verdict.checked_bytes;
  v.n_damages = is_damaged ? verdict.n_damages : 0;
  for (const Status& damage : verdict.damages) v.problems.push_back(damage.message);
  if (!verdict.busy.ok()) v.problems.push_back(verdict.busy.message);
  return v;
}

// Whether the list of files covers the text. A context that cannot be opened now was changed since it was checked.
void note_files(Store& store, const ContextVerdict& verdict, VerifiedContext& context) {
  const Which which = verdict.replacement ? Which::kReplacement : Which::kCurrent;
  const auto data = store.impl().contexts->open_reader(verdict.meta.name, which);
  if (!data.ok() || data.value()->meta().id != verdict.meta.id) return;
  const auto files = parse_sources(data.value()->meta().sources, verdict.meta.name);
  const Status covered = files.ok() ? check_coverage(*data.value(), files.value()) : files.status();
  if (covered.code != Code::kCorrupt) return;
  context.state = "damaged", context.n_damages = 1;
  context.problems.push_back(covered.message);
}

}  // namespace

Result<std::vector<VerifiedContext>> verify(Store& store, const std::vector<std::string>& names,
                                            const BytesProgressCallback& progress, const CancelToken* cancel) {
  TRY_ASSIGN(const auto verdicts, store.impl().contexts->verify(names, watched(progress, cancel)));
  std::vector<VerifiedContext> contexts;
  for (const ContextVerdict& verdict : verdicts) {
    VerifiedContext context = describe(verdict);
    // The runtime's own JSON texts may be intact for the store although the runtime cannot read them.
    ContextEntry entry;
    entry.meta = verdict.meta;
    const ContextInfo info = describe(entry);
    if (context.state == "ok" && info.state == "damaged") {
      context.state = "damaged", context.n_damages = 1;
      context.problems.push_back(info.problem);
    }
    if (context.state == "ok") note_files(store, verdict, context);
    contexts.push_back(std::move(context));
  }
  return contexts;
}

}  // namespace reform
