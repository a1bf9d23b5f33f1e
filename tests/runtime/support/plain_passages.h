// The plain form of how text is cut: from the texts of tokens, without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace reform::test {

// `text` without the characters of `before` at its begin and those of `after` at its end.
std::string trimmed(const std::string& text, const std::string& before, const std::string& after);
bool ends_with_any(const std::string& text, const std::vector<std::string>& ends);

// What a reader sees at the place before token p.
struct PlainPlace {
  bool line_end = false, blank_line = false, wrapped = false, sentence_end = false;

  PlainPlace(const std::vector<std::string>& tokens, size_t p);
};

// Where passages end, the last at the text's end. `tokens` are the texts of a context's tokens.
std::vector<int64_t> plain_cuts(const std::vector<std::string>& tokens);
// Where the sentences of a passage end that has these tokens.
std::vector<int64_t> plain_sentences(const std::vector<std::string>& tokens);

}  // namespace reform::test
