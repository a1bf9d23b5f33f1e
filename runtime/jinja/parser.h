// Jinja2's grammar, as far as chat templates use it (README.md says what is left out).
#pragma once

#include <reform/status.h>

#include <string_view>

#include "runtime/jinja/ast.h"

namespace reform::jinja {

// How deep brackets and blocks may nest, and trees of nodes (a + b + c has a depth of 3), so that a small stack is
// enough. A deeper template is refused.
inline constexpr int kMaxNesting = 120;
inline constexpr int kMaxNodeDepth = 200;

// A kBody node. An error names the line.
Result<NodePtr> parse(std::string_view source);

}  // namespace reform::jinja
