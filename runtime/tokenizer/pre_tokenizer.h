// Pre-tokenizers cut a text into words, and byte-level BPE merges within each word. Every published one that we know is
// an ordered choice of the same few alternatives. So each is a row of flags, and one scanner runs them all.
//
// The scanner is exact: tests compare it with what Hugging Face `tokenizers` makes of the published regexes
// (scripts/make_tokenizer_golden.py).
// Thread-safety: rows are constants.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "runtime/tokenizer/word_part.h"

namespace reform {

struct PreTokenizer {
  const char* name;  // as in tokenizer.ggml.pre

  enum class Contractions { kNone, kLowerCase, kAnyCase };  // 's 't 're 've 'm 'll 'd
  Contractions contractions;
  // Whether any character but \r \n, a letter or a number may come before a word's letters; else only one space.
  bool mark_before_letters;
  bool cased_words;              // a word is upper* lower+ or upper+ lower*; else a run of letters
  bool isolate_numbers;          // each number is cut out first; the text before it ends there as at the text's end
  int max_numbers;               // longest run of numbers; 0: any, with a space before it
  const char* punctuation_tail;  // characters that a run of punctuation takes along
  bool newline_runs;             // \s*[\r\n]+ is one word

  // Properties that come with the name in llama.cpp.
  bool whole_word_first;  // a word in the vocabulary is that token, whatever the merges say
  bool add_bos;           // unless the file says otherwise
};

// kBadModel lists the known names.
Result<const PreTokenizer*> find_pre_tokenizer(std::string_view name);
std::span<const PreTokenizer> pre_tokenizers();  // without the aliases

struct Word {
  size_t n_bytes;       // >= 1; 0 only if the rest of a word is empty
  bool open;            // the scanner looked past the end of the text, so more text might change this word
  size_t n_sure_bytes;  // of an open word: it has at least these, whatever follows
  WordPart part;        // where it starts
};

// The word at text[pos], or the rest of one that a cut left open there; pos < text.size(). `text` is valid UTF-8 of
// whole characters.
Word next_word(const PreTokenizer& pre, std::string_view text, size_t pos, WordPart within = WordPart::kNone);
// Where a word is once `taken`, some of its sure bytes, is cut off its front.
WordPart part_after(WordPart part, std::string_view taken);

}  // namespace reform
