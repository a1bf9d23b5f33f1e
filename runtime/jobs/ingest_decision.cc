#include "runtime/jobs/ingest_decision.h"

#include <fmt/format.h>

#include <algorithm>

namespace reform {
namespace {

using Action = IngestDecision::Action;
using OnExisting = IngestOptions::OnExisting;

bool begins_with_stored(TextMatch text) { return text == TextMatch::kSame || text == TextMatch::kPrefix; }

IngestDecision refuse(Status why) { return {.action = Action::kRefuse, .refusal = std::move(why)}; }

// The comparison has consumed the stream. What it was compared with is dropped, as it would be for a file, so that the
// same command works when it is repeated.
IngestDecision refuse_stream(const std::string& what, const std::string& name) {
  return refuse({Code::kExists,
                 fmt::format("an unfinished {} '{}' had begun with other text and is dropped now; the standard input "
                             "that was compared with it must be fed again",
                             what, name)});
}

IngestDecision decide_unfinished(const StoredFacts& context, const IngestFacts& facts, const std::string& name) {
  // Whoever does not say --append means the whole context, even where the text is the one that was being appended.
  if (context.appended && facts.on_existing != OnExisting::kAppend) {
    return refuse(
        {Code::kExists,
         fmt::format("an append to context '{}' is not finished: --append goes on with the same text and puts "
                     "other text in its place, --replace begins the whole context anew, reform rm removes it",
                     name)});
  }
  if (context.text == TextMatch::kUnknown) return {.action = Action::kCompare};
  if (begins_with_stored(context.text)) return {.action = Action::kResume};
  if (context.appended && !facts.reads_stream) return {.action = Action::kRestartAppend};
  if (context.appended) {
    IngestDecision dropped = refuse_stream("append to context", name);
    dropped.cut_back = true;
    return dropped;
  }
  return refuse({Code::kExists,
                 fmt::format("context '{}' was begun with other text and is not finished; feed it the same text, or "
                             "begin anew with --replace",
                             name)});
}

// The new context is made beside the current one, which stays until the new one is finished. An earlier call may have
// begun it already, with the same settings and text.
IngestDecision decide_replace(const IngestFacts& facts, const std::string& name) {
  const bool replacing = facts.replacement.has_value();
  const StoredFacts& begun = replacing ? *facts.replacement : *facts.current;
  const Which which = replacing ? Which::kReplacement : Which::kCurrent;
  if (begun.usable.code == Code::kBusy) return refuse(begun.usable);
  if (begun.usable.ok() && begun.as_asked && (replacing || !begun.complete) && !begun.appended) {
    if (begun.text == TextMatch::kUnknown) return {.action = Action::kCompare, .which = which};
    if (begins_with_stored(begun.text)) return {.action = Action::kResume, .which = which};
    if (facts.reads_stream) {
      IngestDecision dropped = refuse_stream("context", name);
      (replacing ? dropped.drop_replacement : dropped.cut_back) = true;
      return dropped;
    }
  }
  return {.action = Action::kBegin, .which = Which::kReplacement, .drop_replacement = replacing};
}

}  // namespace

IngestDecision decide_ingest(const IngestFacts& facts, const std::string& name) {
  if (!facts.current) return {.action = Action::kBegin};
  const StoredFacts& current = *facts.current;
  if (current.usable.code == Code::kBusy) return refuse(current.usable);
  if (facts.on_existing == OnExisting::kReplace) return decide_replace(facts, name);
  if (!current.usable.ok()) return refuse(current.usable);
  if (!current.complete) return decide_unfinished(current, facts, name);
  if (facts.on_existing == OnExisting::kAppend) {
    if (current.can_append) return {.action = Action::kAppend};
    return refuse({Code::kCorrupt, fmt::format("context '{}' does not say where an append starts", name)});
  }
  if (current.text == TextMatch::kUnknown) return {.action = Action::kCompare};
  if (current.text == TextMatch::kSame) return {.action = Action::kNothing};
  return refuse({Code::kExists,
                 fmt::format("context '{}' exists with other text; --append adds to it, --replace {}, or choose "
                             "another name",
                             name, facts.replacement ? "goes on with its unfinished replacement" : "begins anew")});
}

int64_t resume_start(std::span<const int64_t> checkpoints, int64_t n_tokens, int64_t chunk_tokens,
                     const ProgressState& state) {
  int64_t start = state.part.begin_tokens;
  for (const int64_t n : checkpoints) {
    if (n % chunk_tokens != 0 || n > n_tokens) continue;
    if (!state.can_append || n <= state.append.begin_tokens) start = std::max(start, n);
  }
  return start;
}

}  // namespace reform
