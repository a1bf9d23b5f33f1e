// An option or argument without anything in it, as `--store "$DIR"` is without DIR.
#pragma once

namespace CLI {
class App;
}

namespace reform::tool {

// Refuses an empty path, name or choice, for all verbs that were added. Texts may be empty.
void refuse_empty_values(CLI::App& app);

}  // namespace reform::tool
