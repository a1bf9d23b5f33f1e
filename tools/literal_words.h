// Words of the command line that CLI11 would not take as they are: it reads [a,b] as the list of a and b, after some
// positional arguments or options `--` as one of them, and the word behind `--store=` as the value.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace reform::tool {

// The names of the options, of all verbs, whose next word is their value: "--store", "-m".
std::set<std::string> value_options(const CLI::App& app);
// The same words, marked so that CLI11 changes nothing in them, and without the `--` that ends the options.
std::vector<std::string> marked(std::vector<std::string> words, const std::set<std::string>& value_options = {});
// Makes the options of all verbs take the marks off their values.
void take_marks_off(CLI::App& app);
// A message of CLI11 without marks.
std::string without_marks(std::string message);

}  // namespace reform::tool
