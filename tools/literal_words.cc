#include "tools/literal_words.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>

namespace reform::tool {
namespace {

constexpr char kMark = '\x01';  // no matter whether words have such characters, too

bool ends_like_a_list(std::string_view word) {
  const size_t last = word.find_last_not_of(kMark);
  return last != std::string_view::npos && word[last] == ']';
}

std::string taken_off(std::string value) {
  if (value.ends_with(kMark) && ends_like_a_list(value)) value.pop_back();
  if (value.starts_with(kMark)) value.erase(value.begin());
  return value;
}

}  // namespace

std::vector<std::string> marked(std::vector<std::string> words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  for (auto word = words.begin(); word != words.end(); ++word) {
    if (ends_like_a_list(*word)) word->push_back(kMark);
    if (word > end || word->starts_with(kMark)) word->insert(word->begin(), kMark);  // so it is no option
  }
  // Behind an option that lacks its value it stays, to be an error.
  if (end != words.end() && end != words.begin() && !(end - 1)->starts_with('-')) words.erase(end);
  return words;
}

void take_marks_off(CLI::App& app) {
  const auto take_off = [](std::string& value) {
    value = taken_off(std::move(value));
    return std::string();
  };
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) {
    for (CLI::Option* option : verb->get_options()) {
      if (option->get_type_size() > 0) option->transform(CLI::Validator(take_off, "", ""));
    }
  }
}

std::string without_marks(std::string message) {
  std::erase(message, kMark);
  return message;
}

}  // namespace reform::tool
