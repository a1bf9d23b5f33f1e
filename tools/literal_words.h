// Words of the command line that CLI11 would not take as they are: it reads [a,b] as the list of a and b, and after
// some positional arguments `--` as their end.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace reform::tool {

// The same words, marked so that CLI11 changes nothing in them.
std::vector<std::string> marked(std::vector<std::string> words);
// Makes the options of all verbs take the marks off their values.
void take_marks_off(CLI::App& app);
// A message of CLI11 without marks.
std::string without_marks(std::string message);

}  // namespace reform::tool
