// Says that a test case cannot run here, and why. It is the last thing the case does: `return skip("no GPU");`.
// ctest runs one case at a time and shows such a case as skipped, not as passed.
#pragma once

#include <string>

namespace reform::test {

void skip(const std::string& why);

}  // namespace reform::test
