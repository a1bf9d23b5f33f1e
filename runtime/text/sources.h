// Spans of stored tokens as people see them: files, byte offsets, text. Touching ones merged, widened to characters.
#pragma once

#include <reform/ask.h>
#include <reform/status.h>

#include <string>
#include <vector>

#include "runtime/gather/gather.h"
#include "runtime/text/progress_state.h"
#include "runtime/tokenizer/tokenizer.h"
#include "storage/context/context.h"

namespace reform {

// The sources of one context's spans (all of the same context, in document order). A span that crosses from one file
// to the next becomes two sources.
Result<std::vector<Source>> make_sources(ContextData& data, const Tokenizer& tokenizer,
                                         const std::vector<SourceFile>& files, const std::vector<Span>& spans);

}  // namespace reform
