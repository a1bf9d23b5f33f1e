// What ingest() does with a name: a function of what is stored under it and of what was asked, and of nothing else.
// tests/runtime/jobs/ingest_decision_test.cc has every case.
#pragma once

#include <reform/ingest.h>
#include <reform/status.h>

#include <optional>
#include <span>
#include <string>

#include "runtime/text/progress_state.h"
#include "storage/store/context_store.h"

namespace reform {

// How the text given compares with the text stored.
enum class TextMatch {
  kUnknown,  // comparing reads the text, so it waits until the decision needs it
  kSame,
  kPrefix,  // what is stored is the beginning of what was given; the best answer for a context that is not complete
  kOther,
};

struct StoredFacts {
  Status usable;          // kBusy: another process writes it. Other errors: it is damaged, or of another model
  bool complete = false;  // all of its text was read
  bool appended = false;  // the call that wrote it last appended to a complete context
  bool can_append = false;
  bool as_asked = false;  // its settings are those asked for now
  TextMatch text = TextMatch::kUnknown;
};

struct IngestFacts {
  std::optional<StoredFacts> current, replacement;
  IngestOptions::OnExisting on_existing = IngestOptions::OnExisting::kRefuse;
  bool reads_stream = false;  // some source can be read only once

  std::optional<StoredFacts>& of(Which which) { return which == Which::kCurrent ? current : replacement; }
};

struct IngestDecision {
  enum class Action {
    kCompare,        // learn how the text of `which` matches, then decide again
    kBegin,          // a context with no text yet
    kResume,         // from the last usable checkpoint
    kAppend,         // to complete text
    kRestartAppend,  // drop an unfinished append and append this text in its place
    kNothing,        // all of the text is stored already
    kRefuse,
  } action = Action::kBegin;
  Which which = Which::kCurrent;
  bool drop_replacement = false;  // before anything else
  bool cut_back = false;          // drop what the unfinished call has added to the current context, before refusing
  Status refusal = {};
};

IngestDecision decide_ingest(const IngestFacts& facts, const std::string& name);

// The token from which an unfinished context is resumed: the newest checkpoint on a chunk's border whose tokens more
// text could not have changed. If there is none, the first token of the call that was stopped.
int64_t resume_start(std::span<const int64_t> checkpoints, int64_t n_tokens, int64_t chunk_tokens,
                     const ProgressState& state);

}  // namespace reform
