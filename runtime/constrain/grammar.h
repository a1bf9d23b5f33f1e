// A grammar of bytes: what a constrained answer may say.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

namespace reform {

struct Grammar {
  using ByteSet = std::bitset<256>;
  // One byte of a set, or what a rule says.
  struct Element {
    bool is_rule = false;
    int32_t index = 0;  // into rules or sets
  };
  using Sequence = std::vector<Element>;
  using Rule = std::vector<Sequence>;  // one of these; {{}}: nothing

  std::vector<ByteSet> sets;
  std::vector<Rule> rules;
  int32_t root = 0;

  // A rule that is filled in later may be named before.
  Element add_rule(Rule rule = {});
  Rule& rule(Element element) { return rules[size_t(element.index)]; }
  Element byte_in(const ByteSet& set);
  Sequence text(std::string_view bytes);
  std::vector<bool> empty_rules() const;  // for each rule, whether it may say nothing
  // Whether a text that fits has an end, so that one can be whole.
  bool can_end() const;
  // `element` so many times. An unlimited number is `most` < 0.
  Element repeated(Element element, int64_t least, int64_t most);
};

// The bytes of `text`, and of ranges in pairs: bytes("_", "azAZ").
Grammar::ByteSet bytes(std::string_view text, std::string_view ranges = "");
Grammar::Sequence operator+(Grammar::Sequence a, const Grammar::Sequence& b);

}  // namespace reform
