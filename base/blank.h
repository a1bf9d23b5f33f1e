// The one rule for what a reader sees nothing of: in texts, questions, prompts and names.
#pragma once

namespace reform {

// White space (Unicode's White_Space), control characters (Cc, NUL included), and what Unicode says may be shown as
// nothing at all (Default_Ignorable_Code_Point), such as U+200B and the byte order mark U+FEFF.
bool is_blank(char32_t code_point);

}  // namespace reform
