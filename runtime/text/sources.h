// Spans of stored tokens as a reader sees them: file, byte offsets and text, widened to whole characters.
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

// The sources of one context's spans, which must be in the order of the text. A span across the border of two files
// becomes two sources. `encoding`: the files', as canonical_encoding() gives it. Lines are counted in one scan over the
// text's tokens.
Result<std::vector<Source>> make_sources(ContextData& data, const Tokenizer& tokenizer,
                                         const std::vector<SourceFile>& files, const std::string& encoding,
                                         const std::vector<Span>& spans);

// Checks that the list of files covers what the tokens stand for, byte by byte: whoever wrote the context may have left
// out one. kCorrupt.
Status check_coverage(ContextData& data, const std::vector<SourceFile>& files);

}  // namespace reform
