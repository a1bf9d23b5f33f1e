#include "runtime/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

using Contractions = PreTokenizer::Contractions;

constexpr PreTokenizer kPreTokenizers[] = {
    {.name = "gpt-2",
     .contractions = Contractions::kLowerCase,
     .mark_before_letters = false,
     .cased_words = false,
     .isolate_numbers = false,
     .max_numbers = 0,
     .punctuation_tail = "",
     .newline_runs = false,
     .whole_word_first = false,
     .add_bos = false},
    {.name = "smollm",
     .contractions = Contractions::kLowerCase,
     .mark_before_letters = false,
     .cased_words = false,
     .isolate_numbers = true,
     .max_numbers = 1,
     .punctuation_tail = "",
     .newline_runs = false,
     .whole_word_first = false,
     .add_bos = false},
    {.name = "qwen2",
     .contractions = Contractions::kAnyCase,
     .mark_before_letters = true,
     .cased_words = false,
     .isolate_numbers = false,
     .max_numbers = 1,
     .punctuation_tail = "\r\n",
     .newline_runs = true,
     .whole_word_first = false,
     .add_bos = false},
    {.name = "llama-bpe",
     .contractions = Contractions::kAnyCase,
     .mark_before_letters = true,
     .cased_words = false,
     .isolate_numbers = false,
     .max_numbers = 3,
     .punctuation_tail = "\r\n",
     .newline_runs = true,
     .whole_word_first = true,
     .add_bos = true},
    {.name = "tekken",
     .contractions = Contractions::kNone,
     .mark_before_letters = true,
     .cased_words = true,
     .isolate_numbers = false,
     .max_numbers = 1,
     .punctuation_tail = "\r\n/",
     .newline_runs = true,
     .whole_word_first = true,
     .add_bos = true},
};

// Other names for the same pre-tokenizers.
constexpr std::pair<const char*, const char*> kAliases[] = {
    {"phi-2", "gpt-2"},      {"gigachat", "gpt-2"},     {"starcoder", "smollm"},  {"refact", "smollm"},
    {"command-r", "smollm"}, {"codeshell", "smollm"},   {"stablelm2", "qwen2"},   {"deepseek-r1-qwen", "qwen2"},
    {"llama3", "llama-bpe"}, {"llama-v3", "llama-bpe"}, {"falcon3", "llama-bpe"}, {"pixtral", "llama-bpe"},
};

// Where a scan is. It notes every look past the end of the text, which makes `open` right by construction.
class Scanner {
 public:
  Scanner(const PreTokenizer& pre, std::string_view text) : pre_(pre), text_(text) {}

  // The alternatives in the order of the regexes.
  Word scan(size_t begin) {
    size_t end = pre_.isolate_numbers && is(begin, CharClass::kNumber) ? after(begin) : 0;
    if (end == 0) end = contraction(begin);
    if (end != 0) return word(begin, end, WordPart::kNone);
    if ((end = letters(begin)) != 0) return word(begin, end, pre_.cased_words ? WordPart::kUpper : WordPart::kLetters);
    if ((end = numbers(begin)) != 0) return word(begin, end, WordPart::kNumbers);
    if ((end = punctuation(begin)) != 0) return word(begin, end, WordPart::kPunctuation);
    return spaces(begin, false);
  }

  // The rest of a word.
  Word scan_rest(size_t begin, WordPart part) {
    size_t end = begin;
    if (part == WordPart::kSpace) return spaces(begin, true);
    if (part == WordPart::kLetters) end = run_of_letters(begin);
    if (part == WordPart::kUpper) end = std::max(lower_word(begin), begin);
    if (part == WordPart::kUpper && end == begin) end = std::max(upper_word(begin), begin);
    if (part == WordPart::kLower) end = lower_run(begin);
    if (part == WordPart::kNumbers) end = run_of_numbers(begin);
    if (part == WordPart::kPunctuation) end = punctuation_tail(run_of_punctuation(begin));
    if (part == WordPart::kTail) end = punctuation_tail(begin);
    return word(begin, end, part);
  }

 private:
  static constexpr uint32_t kEnd = ~0u;  // no character: the text ends here

  uint32_t at(size_t pos) {
    if (pos < text_.size()) return decode_utf8(text_, pos).code_point;
    looked_past_end_ = true;
    return kEnd;
  }
  size_t after(size_t pos) const { return pos + decode_utf8(text_, pos).n_bytes; }
  // Whether the character is in class `c`. The end is in none.
  bool is(size_t pos, CharClass c) {
    const uint32_t code_point = at(pos);
    return code_point != kEnd && char_class(code_point) == c;
  }
  bool is_letter_at(size_t pos) {
    const uint32_t code_point = at(pos);
    return code_point != kEnd && is_letter(char_class(code_point));
  }
  // [^\s\p{L}\p{N}]
  bool is_punctuation(size_t pos) {
    const uint32_t code_point = at(pos);
    if (code_point == kEnd) return false;
    const CharClass c = char_class(code_point);
    return c == CharClass::kOther || c == CharClass::kMark;
  }

  Word word(size_t begin, size_t end, WordPart part) const {
    return {end - begin, looked_past_end_, end - begin, part};
  }

  // Each returns the end of its match, or 0 for none (a match is never empty, so its end is never 0).
  size_t contraction(size_t begin) {
    if (pre_.contractions == Contractions::kNone || at(begin) != '\'') return 0;
    const auto fold = [&](uint32_t c) -> uint32_t {
      if (pre_.contractions == Contractions::kLowerCase) return c;
      if (c == 0x17f) return 's';  // a long s is an s, if case does not matter
      return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
    };
    const uint32_t first = fold(at(begin + 1));
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return after(begin + 1);
    if (first != 'r' && first != 'v' && first != 'l') return 0;
    return fold(at(begin + 2)) == (first == 'l' ? 'l' : 'e') ? begin + 3 : 0;
  }

  // The position after the optional prefix, or `begin` if there is no prefix.
  size_t after_letter_prefix(size_t begin) {
    const uint32_t c = at(begin);
    if (!pre_.mark_before_letters) return c == ' ' ? begin + 1 : begin;
    const CharClass cls = char_class(c);
    const bool taken = c != '\r' && c != '\n' && !is_letter(cls) && cls != CharClass::kNumber;
    return taken ? after(begin) : begin;
  }

  size_t letters(size_t begin) {
    const size_t start = after_letter_prefix(begin);
    if (pre_.cased_words) return cased_word(begin, start);
    const size_t end = run_of_letters(start);
    return end > start ? end : 0;
  }
  size_t run_of_letters(size_t end) {
    while (is_letter_at(end)) end = after(end);
    return end;
  }

  // Tries the two alternatives, each with the prefix first and then without.
  size_t cased_word(size_t begin, size_t start) {
    size_t end = lower_word(start);
    if (end == 0) end = lower_word(begin);
    if (end == 0) end = upper_word(start);
    if (end == 0) end = upper_word(begin);
    return end;
  }
  bool in_upper(size_t pos) {  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
    return is(pos, CharClass::kUpper) || in_both(pos);
  }
  bool in_lower(size_t pos) {  // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
    return is(pos, CharClass::kLower) || in_both(pos);
  }
  bool in_both(size_t pos) { return is(pos, CharClass::kCaseless) || is(pos, CharClass::kMark); }
  // upper* lower+. If no lower follows the run of uppers, the regex gives back characters until one counts as lower
  // too. It then matches just that one, as the next is upper only.
  size_t lower_word(size_t start) {
    size_t end = start, after_last_both = 0;
    while (in_upper(end)) {
      const bool both = in_both(end);
      end = after(end);
      if (both) after_last_both = end;
    }
    return in_lower(end) ? lower_run(end) : after_last_both;
  }
  size_t lower_run(size_t end) {
    while (in_lower(end)) end = after(end);
    return end;
  }
  // upper+ lower*
  size_t upper_word(size_t start) {
    size_t end = start;
    while (in_upper(end)) end = after(end);
    return end == start ? 0 : lower_run(end);
  }

  size_t numbers(size_t begin) {
    if (pre_.isolate_numbers) return 0;  // numbers were cut out before
    const size_t start = pre_.max_numbers == 0 && at(begin) == ' ' ? begin + 1 : begin;
    const size_t end = run_of_numbers(start);
    return end > start ? end : 0;
  }
  size_t run_of_numbers(size_t end) {
    for (int n = 0; (pre_.max_numbers == 0 || n < pre_.max_numbers) && is(end, CharClass::kNumber); ++n)
      end = after(end);
    return end;
  }

  size_t punctuation(size_t begin) {
    const size_t start = at(begin) == ' ' ? begin + 1 : begin;
    const size_t end = run_of_punctuation(start);
    return end == start ? 0 : punctuation_tail(end);
  }
  size_t run_of_punctuation(size_t end) {
    while (is_punctuation(end)) end = after(end);
    return end;
  }
  size_t punctuation_tail(size_t end) {
    if (*pre_.punctuation_tail == 0) return end;
    for (uint32_t c = at(end); c != 0 && c < 128 && std::strchr(pre_.punctuation_tail, int(c)); c = at(end)) ++end;
    return end;
  }

  // \s*[\r\n]+ | \s+(?!\S) | \s+
  Word spaces(size_t begin, bool rest) {
    size_t end = begin, last = begin, after_newline = 0;
    for (; is(end, CharClass::kSpace); end = after(end)) {
      last = end;
      if (text_[end] == '\r' || text_[end] == '\n') after_newline = end + 1;
    }
    Word found = word(begin, end, WordPart::kSpace);
    if (pre_.newline_runs && after_newline) {
      found.n_bytes = found.n_sure_bytes = after_newline - begin;
      return found;
    }
    found.n_sure_bytes = last - begin;
    const bool at_end = at(end) == kEnd || (pre_.isolate_numbers && is(end, CharClass::kNumber));
    // The last white space belongs to what follows it.
    if (!at_end && (rest || last != begin)) found.n_bytes = last - begin;
    found.open = looked_past_end_;
    return found;
  }

  const PreTokenizer& pre_;
  std::string_view text_;
  bool looked_past_end_ = false;
};

}  // namespace

Result<const PreTokenizer*> find_pre_tokenizer(std::string_view name) {
  std::string_view row_name = name;
  for (const auto& [alias, row] : kAliases)
    if (name == alias) row_name = row;
  std::string known;
  for (const PreTokenizer& pre : kPreTokenizers) {
    if (row_name == pre.name) return &pre;
    known += std::string(known.empty() ? "" : ", ") + pre.name;
  }
  for (const auto& [alias, row] : kAliases) known += std::string(", ") + alias;
  return Status{Code::kBadModel, "tokenizer.ggml.pre names the pre-tokenizer '" + std::string(name) +
                                     "', which we do not know; known: " + known};
}

std::span<const PreTokenizer> pre_tokenizers() { return kPreTokenizers; }

Word next_word(const PreTokenizer& pre, std::string_view text, size_t pos, WordPart within) {
  Scanner scanner(pre, text);
  return within == WordPart::kNone ? scanner.scan(pos) : scanner.scan_rest(pos, within);
}

WordPart part_after(WordPart part, std::string_view taken) {
  if (part == WordPart::kPunctuation && taken.find_first_of("\r\n") != std::string_view::npos) return WordPart::kTail;
  if (part != WordPart::kUpper) return part;
  for (size_t pos = 0; pos < taken.size();) {
    const Utf8Char c = decode_utf8(taken, pos);
    if (c.kind == Utf8Char::Kind::kValid && char_class(c.code_point) == CharClass::kLower) return WordPart::kLower;
    pos += c.n_bytes;
  }
  return part;
}

}  // namespace reform
