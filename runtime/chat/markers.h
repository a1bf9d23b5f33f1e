// Whether a model's vocabulary knows the markers that its chat template writes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/chat/chat_template.h"

namespace reform {

struct Markers {
  // Those that the template writes round a turn and that the vocabulary does not hold as one token.
  std::vector<std::string> unknown;
  // What ends the model's own turn. -1, "": the template does not say. If only the text is known, no token ends it.
  int32_t turn_end = -1;
  std::string turn_end_text;
};

// Nothing where the template refuses a plain turn.
Markers find_markers(const ChatTemplate& chat, const Tokenizer& tokenizer);

}  // namespace reform
