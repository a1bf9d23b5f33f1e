// The search for heads, whole (runtime/heads): it reads the samples, compares, and chooses.
#pragma once

#include <reform/heads.h>

#include "runtime/compress/head_set.h"
#include "runtime/engine/engine_impl.h"

namespace reform {

struct HeadSearch {
  HeadSets sets;
  HeadSearchResult report;  // without heads_file and kept_at
};

// How many of the samples' questions a search up to `depth` may read that takes about `seconds` (runtime/heads/
// search_work.h): a function of the model. At least 72.
Result<int64_t> questions_within(Engine::Impl& engine, double depth, double seconds);

// Even if heads are known already. Without the curve only the depths that have sets are judged.
Result<HeadSearch> run_head_search(Engine::Impl& engine, const HeadSearchOptions& options, bool with_curve,
                                   const IngestProgressCallback& progress, const CancelToken* cancel);

}  // namespace reform
