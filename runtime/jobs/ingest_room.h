// The room in the store that an ingest needs: for what it writes next, and for what is sure to come. A full store
// evicts contexts only for a text that fits in the end, so its tokens are counted before it is read, if it lies in
// files. Private to runtime/.
#pragma once

#include <reform/cancel.h>
#include <reform/ingest.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/jobs/settings.h"
#include "runtime/text/progress_state.h"
#include "runtime/tokenizer/tokenizer.h"
#include "storage/format/chunk_kind.h"
#include "storage/limits/growth.h"

namespace reform {

constexpr int64_t kUnknownTokens = -1;

// How many tokens the text has from `part` on. kUnknownTokens if not all sources are files, which can be read twice.
Result<int64_t> count_tokens(const Tokenizer& tokenizer, const std::vector<IngestSource>& sources,
                             const PartStart& part, const ContextSettings& settings, int64_t most_wanted,
                             const CancelToken* cancel);

// A finished context keeps the checkpoint that an append starts from, at token `base_tokens`, only if the append would
// otherwise run many tokens again. A shorter text is mostly checkpoints, and soon read.
bool keeps_append_start(const ContextSettings& settings, int64_t base_tokens);

// How far an ingest is.
struct IngestPlace {
  int64_t n_begin = 0;               // tokens of the context before this call
  int64_t n_done = 0;                // and after the chunks that it has run
  int64_t n_pending = 0;             // of n_done, those that are not written yet
  int64_t n_next = 0;                // the chunk that is to be run
  int64_t n_total = kUnknownTokens;  // at the end of the text
  int64_t n_saved = 0;               // where the newest checkpoint stands; 0: there is none
  int64_t state_bytes = 0;           // of what is noted with each chunk about the text
  bool one_more = false;             // another checkpoint is to be saved before the chunk
};

class IngestRoom {
 public:
  // checkpoint_bytes: of a checkpoint after so many tokens, at most.
  IngestRoom(const ContextSettings& settings, ExtraKinds kinds, int64_t row_bytes,
             std::function<int64_t(int64_t n_tokens)> checkpoint_bytes);

  Growth needed(const IngestPlace& place) const;

 private:
  int64_t rows_bytes(int64_t n_tokens) const;
  int64_t later_bytes(const IngestPlace& place, int64_t checkpoint_bytes) const;

  const ContextSettings& settings_;
  const bool carries_;
  const ExtraKinds kinds_;
  const int64_t row_bytes_;
  const std::function<int64_t(int64_t n_tokens)> checkpoint_bytes_;
};

}  // namespace reform
