// JSON (RFC 8259) as rules of a grammar. White space is what usual printing writes, so that no model fills its answer
// with it; numbers have at most 16 digits in each part.
#pragma once

#include <cstdint>

#include "runtime/constrain/grammar.h"

namespace reform {

struct JsonRules {
  explicit JsonRules(Grammar& grammar);

  Grammar::Element space;      // or none
  Grammar::Element character;  // of a string, escaped or not
  Grammar::Element string, number, integer, boolean, null;
  Grammar::Element value, object, array;  // of any shape

  Grammar::Element string_of(int64_t least_characters, int64_t most_characters) const;
  // "{", "," and the like, with the white space that may stand around it.
  Grammar::Sequence opening(char bracket) const;
  Grammar::Sequence closing(char bracket) const;
  Grammar::Sequence empty(const char* brackets) const;  // "[]"
  Grammar::Sequence comma() const;
  Grammar::Sequence colon() const;

 private:
  void add_strings();
  void add_numbers();
  void add_values();

  Grammar& grammar_;
  Grammar::Element blank_;  // one, or none
};

}  // namespace reform
