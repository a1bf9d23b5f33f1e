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

// Which rules may say nothing.
std::vector<bool> empty_rules(const std::vector<Grammar::Rule>& rules) {
  std::vector<bool> is_empty(rules.size());
  const auto may_be_empty = [&](const Grammar::Sequence& sequence) {
    return std::ranges::all_of(sequence, [&](const auto& e) { return e.is_rule && is_empty[size_t(e.index)]; });
  };
  for (bool goes_on = true; std::exchange(goes_on, false);) {
    for (size_t r = 0; r < rules.size(); ++r) {
      if (is_empty[r] || std::ranges::none_of(rules[r], may_be_empty)) continue;
      is_empty[r] = goes_on = true;
    }
  }
  return is_empty;
}

// The rules that may come first in a rule's text.
std::vector<int32_t> first_rules(const Grammar::Rule& rule, const std::vector<bool>& is_empty) {
  std::vector<int32_t> first;
  for (const Grammar::Sequence& sequence : rule) {
    for (const Grammar::Element& element : sequence) {
      if (element.is_rule) first.push_back(element.index);
      if (!element.is_rule || !is_empty[size_t(element.index)]) break;
    }
  }
  return first;
}

}  // namespace

// A walk in depth: a rule that is met again while what it begins with is still being walked leads to itself.
bool Grammar::leads_to_itself() const {
  enum class State : uint8_t { kNew, kOpen, kDone };
  const std::vector<bool> is_empty = empty_rules(rules);
  std::vector<State> states(rules.size(), State::kNew);
  std::vector<int32_t> path;
  for (int32_t begin = 0; begin < int32_t(rules.size()); ++begin) {
    path.push_back(begin);
    while (!path.empty()) {
      const int32_t at = path.back();
      State& state = states[size_t(at)];
      if (state != State::kNew) {
        state = State::kDone;
        path.pop_back();
        continue;
      }
      state = State::kOpen;
      for (const int32_t next : first_rules(rules[size_t(at)], is_empty)) {
        if (states[size_t(next)] == State::kOpen) return true;
        if (states[size_t(next)] == State::kNew) path.push_back(next);
      }
    }
  }
  return false;
}

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

// Rules for the optional ones hang behind each other, so a place in one says how many have come.
Grammar::Element Grammar::repeated(Element element, int64_t least, int64_t most) {
  Element rest = add_rule({{}});
  if (most < 0) rule(rest).push_back({element, rest});
  for (int64_t i = least; i < most; ++i) rest = add_rule({{}, {element, rest}});
  Sequence all(size_t(least), element);
  all.push_back(rest);
  return add_rule({std::move(all)});
}

}  // namespace reform
