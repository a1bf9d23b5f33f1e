// REFORM itself (arXiv 2506.01215 section 3.2): the question's states find passages, and the whole model reads them.
#include "runtime/jobs/methods/methods.h"

namespace reform {

AskMethod reform_method() {
  return {.query = query_states,
          .select = select_spans,
          .answer = answer_by_recompute,
          .traits = {.name = "reform",
                     .summary = "the passages that fit the question best are gathered and read again",
                     .options = {"--gather-tokens", "--edge-tokens", "--gather-score", "--rounds", "--pool-window"},
                     .searches = true}};
}

}  // namespace reform
