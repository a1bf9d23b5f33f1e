// Whether two names stand for one encoding. Systems have hundreds of other names (LATIN1, L1 and CP819 are ISO-8859-1),
// and iconv does not say which. So the encodings are compared, and not their names.
#pragma once

#include <string>

namespace reform {

// Each is a name as canonical_encoding() gives it. True if iconv makes the same characters of all single bytes, pairs
// of bytes and byte order marks, and the same bytes of the first 65,536 code points and some of the others. False for a
// name that iconv does not know.
bool same_encoding(const std::string& a, const std::string& b);

}  // namespace reform
