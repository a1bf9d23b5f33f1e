#include <reform/verify.h>

#include <algorithm>

#include "base/try.h"
#include "runtime/jobs/store_impl.h"

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
    contexts.push_back(std::move(context));
  }
  return contexts;
}

}  // namespace reform
