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

// Whether the word after this one is its value: -m and --model, also -qm, but neither -mFILE nor --model=FILE.
bool wants_value(const std::string& word, const std::set<std::string>& value_options) {
  if (word.starts_with("--")) return value_options.contains(word);
  for (size_t i = 1; word.starts_with('-') && i < word.size(); ++i)
    if (value_options.contains({'-', word[i]})) return i + 1 == word.size();
  return false;
}

// The `--` that ends the options: the first that is no option's value.
size_t end_of_options(const std::vector<std::string>& words, const std::set<std::string>& value_options) {
  size_t i = 0;
  while (i < words.size() && words[i] != "--") i += wants_value(words[i], value_options) ? 2 : 1;
  return std::min(i, words.size());
}

// CLI11 would take the next word as the value of "--store=".
std::vector<std::string> with_empty_values(const std::vector<std::string>& words,
                                           const std::set<std::string>& value_options) {
  const size_t end = end_of_options(words, value_options);
  std::vector<std::string> split;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string name = words[i].substr(0, words[i].find('='));
    const bool is_empty = i < end && name.size() + 1 == words[i].size() && value_options.contains(name);
    split.push_back(is_empty ? name : words[i]);
    if (is_empty) split.emplace_back();
  }
  return split;
}

}  // namespace

std::set<std::string> value_options(const CLI::App& app) {
  std::set<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    for (const CLI::Option* option : verb->get_options()) {
      if (option->get_items_expected_min() == 0) continue;
      for (const std::string& name : option->get_lnames()) names.insert("--" + name);
      for (const std::string& name : option->get_snames()) names.insert("-" + name);
    }
  }
  return names;
}

std::vector<std::string> marked(std::vector<std::string> words, const std::set<std::string>& value_options) {
  words = with_empty_values(words, value_options);
  const size_t end = end_of_options(words, value_options);
  const auto is_option = [](const std::string& word) { return word.starts_with('-'); };
  const bool has_verb = !std::all_of(words.begin(), words.begin() + ptrdiff_t(end), is_option);
  for (size_t i = 0; i < words.size(); ++i) {
    std::string& word = words[i];
    if (i == end + 1 && !has_verb && !is_option(word)) continue;  // the verb
    if (ends_like_a_list(word)) word.push_back(kMark);
    if (i > end || word.starts_with(kMark)) word.insert(word.begin(), kMark);  // so it is no option
  }
  if (end < words.size()) words.erase(words.begin() + ptrdiff_t(end));
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
