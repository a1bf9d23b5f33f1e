#include "runtime/constrain/matcher.h"

#include <algorithm>
#include <utility>

#include "base/try.h"

namespace reform {
namespace {

// A text nested deeper ends here: so deep, a value says nothing more.
constexpr size_t kMostPlaces = 512;

}  // namespace

Matcher::Matcher(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  Stacks begin;
  for (size_t i = 0; i < grammar_->rules[size_t(grammar_->root)].size(); ++i)
    expand({{grammar_->root, int32_t(i), 0}}, begin);
  take(std::move(begin));
}

const Grammar::Sequence& Matcher::sequence(const Place& place) const {
  return grammar_->rules[size_t(place.rule)][size_t(place.alternative)];
}

// Replaces rules at the top by what they may say, until a byte is next.
void Matcher::expand(Stack stack, Stacks& out) const {
  while (!stack.empty() && size_t(stack.back().index) == sequence(stack.back()).size()) stack.pop_back();
  if (stack.empty()) return out.push_back(std::move(stack));
  const Grammar::Element next = sequence(stack.back())[size_t(stack.back().index)];
  if (!next.is_rule) return out.push_back(std::move(stack));
  if (stack.size() > kMostPlaces) return;
  ++stack.back().index;
  if (size_t(stack.back().index) == sequence(stack.back()).size()) stack.pop_back();
  for (size_t i = 0; i < grammar_->rules[size_t(next.index)].size(); ++i) {
    Stack with = stack;
    with.push_back({next.index, int32_t(i), 0});
    expand(std::move(with), out);
  }
}

Matcher::Stacks Matcher::after(const Stacks& stacks, unsigned char byte) const {
  Stacks out;
  for (const Stack& stack : stacks) {
    if (stack.empty()) continue;
    const Grammar::Element next = sequence(stack.back())[size_t(stack.back().index)];
    if (!grammar_->sets[size_t(next.index)].test(byte)) continue;
    Stack on = stack;
    ++on.back().index;
    expand(std::move(on), out);
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void Matcher::take(Stacks stacks) {
  stacks_ = std::move(stacks);
  first_bytes_.reset();
  for (const Stack& stack : stacks_) {
    if (stack.empty()) continue;
    first_bytes_ |= grammar_->sets[size_t(sequence(stack.back())[size_t(stack.back().index)].index)];
  }
}

bool Matcher::allows(std::string_view text) const {
  if (text.empty() || !first_bytes_.test((unsigned char)text[0])) return false;
  Stacks stacks = after(stacks_, (unsigned char)text[0]);
  for (size_t i = 1; i < text.size() && !stacks.empty(); ++i) stacks = after(stacks, (unsigned char)text[i]);
  return !stacks.empty();
}

void Matcher::push(std::string_view text) {
  Stacks stacks = std::move(stacks_);
  for (const char c : text) stacks = after(stacks, (unsigned char)c);
  CHECK(!stacks.empty());
  take(std::move(stacks));
}

bool Matcher::may_end() const {
  return std::ranges::any_of(stacks_, [](const Stack& stack) { return stack.empty(); });
}

bool Matcher::must_end() const {
  return std::ranges::all_of(stacks_, [](const Stack& stack) { return stack.empty(); });
}

}  // namespace reform
