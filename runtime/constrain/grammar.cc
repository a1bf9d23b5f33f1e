#include "runtime/constrain/grammar.h"

#include <algorithm>
#include <utility>

namespace reform {

Grammar::ByteSet bytes(std::string_view text, std::string_view ranges) {
  Grammar::ByteSet set;
  for (const char c : text) set.set((unsigned char)c);
  for (size_t i = 0; i + 1 < ranges.size(); i += 2) {
    for (unsigned b = (unsigned char)ranges[i]; b <= (unsigned char)ranges[i + 1]; ++b) set.set(b);
  }
  return set;
}

Grammar::Sequence operator+(Grammar::Sequence a, const Grammar::Sequence& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

namespace {

// The rules of which a sequence has nothing but rules of that kind, and bytes if `bytes_count`.
std::vector<bool> rules_of(const std::vector<Grammar::Rule>& rules, bool bytes_count) {
  std::vector<bool> is_one(rules.size());
  const auto is_of_them = [&](const Grammar::Sequence& sequence) {
    return std::ranges::all_of(sequence,
                               [&](const auto& e) { return e.is_rule ? is_one[size_t(e.index)] : bytes_count; });
  };
  for (bool goes_on = true; std::exchange(goes_on, false);) {
    for (size_t r = 0; r < rules.size(); ++r) {
      if (is_one[r] || std::ranges::none_of(rules[r], is_of_them)) continue;
      is_one[r] = goes_on = true;
    }
  }
  return is_one;
}

}  // namespace

std::vector<bool> Grammar::empty_rules() const { return rules_of(rules, false); }

bool Grammar::can_end() const { return rules_of(rules, true)[size_t(root)]; }

Grammar::Element Grammar::add_rule(Rule rule) {
  rules.push_back(std::move(rule));
  return {true, int32_t(rules.size() - 1)};
}

Grammar::Element Grammar::byte_in(const ByteSet& set) {
  const auto found = std::ranges::find(sets, set);
  const auto index = int32_t(found - sets.begin());
  if (found == sets.end()) sets.push_back(set);
  return {false, index};
}

Grammar::Sequence Grammar::text(std::string_view bytes) {
  Sequence sequence;
  for (const char c : bytes) sequence.push_back(byte_in(reform::bytes({&c, 1})));
  return sequence;
}

// An unlimited rest begins with itself, so that each further one costs the same. Rules for a limited one hang behind
// each other, so a place in one says how many have come.
Grammar::Element Grammar::repeated(Element element, int64_t least, int64_t most) {
  Element rest = add_rule({{}});
  if (most < 0) rule(rest).push_back({rest, element});
  for (int64_t i = least; i < most; ++i) rest = add_rule({{}, {element, rest}});
  Sequence all(size_t(least), element);
  all.push_back(rest);
  return add_rule({std::move(all)});
}

}  // namespace reform
