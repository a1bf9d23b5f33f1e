#include "runtime/constrain/matcher.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/try.h"

namespace reform {

Matcher::Matcher(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)), may_be_empty_(grammar_->empty_rules()) {
  Items begin;
  for (size_t i = 0; i < grammar_->rules[size_t(grammar_->root)].size(); ++i)
    begin.push_back({grammar_->root, int32_t(i), 0, 0});
  complete(begin, {});
  chart_.push_back(std::move(begin));
  note_first_bytes();
}

const Grammar::Sequence& Matcher::sequence(const Item& item) const {
  return grammar_->rules[size_t(item.rule)][size_t(item.alternative)];
}

const Grammar::Element* Matcher::next(const Item& item) const {
  const Grammar::Sequence& all = sequence(item);
  return size_t(item.at) == all.size() ? nullptr : &all[size_t(item.at)];
}

const Matcher::Items& Matcher::items_at(int32_t byte, const std::vector<Items>& more) const {
  return size_t(byte) < chart_.size() ? chart_[size_t(byte)] : more[size_t(byte) - chart_.size()];
}

void Matcher::complete(Items& items, const std::vector<Items>& more) const {
  const auto here = int32_t(chart_.size() + more.size());
  std::set<Item> known(items.begin(), items.end());
  const auto add = [&](const Item& item) {
    if (known.insert(item).second) items.push_back(item);
  };
  for (size_t i = 0; i < items.size(); ++i) {
    const Item item = items[i];
    const Grammar::Element* const element = next(item);
    if (element == nullptr) {
      if (item.begin == here) continue;  // it said nothing: whoever waits for it has gone on already
      for (const Item& waiting : items_at(item.begin, more)) {
        const Grammar::Element* const wanted = next(waiting);
        if (wanted != nullptr && wanted->is_rule && wanted->index == item.rule) add(waiting.further());
      }
    } else if (element->is_rule) {
      for (size_t a = 0; a < grammar_->rules[size_t(element->index)].size(); ++a)
        add({element->index, int32_t(a), 0, here});
      if (may_be_empty_[size_t(element->index)]) add(item.further());
    }
  }
}

Matcher::Items Matcher::after(unsigned char byte, const std::vector<Items>& more) const {
  Items items;
  for (const Item& item : more.empty() ? chart_.back() : more.back()) {
    const Grammar::Element* const element = next(item);
    if (element == nullptr || element->is_rule || !grammar_->sets[size_t(element->index)].test(byte)) continue;
    items.push_back(item.further());
  }
  complete(items, more);
  return items;
}

void Matcher::note_first_bytes() {
  first_bytes_.reset();
  for (const Item& item : chart_.back()) {
    const Grammar::Element* const element = next(item);
    if (element != nullptr && !element->is_rule) first_bytes_ |= grammar_->sets[size_t(element->index)];
  }
}

bool Matcher::allows(std::string_view text) const {
  if (text.empty() || !first_bytes_.test((unsigned char)text[0])) return false;
  std::vector<Items> more;
  for (const char c : text) {
    more.push_back(after((unsigned char)c, more));
    if (more.back().empty()) return false;
  }
  return true;
}

void Matcher::push(std::string_view text) {
  for (const char c : text) {
    chart_.push_back(after((unsigned char)c, {}));
    CHECK(!chart_.back().empty());
  }
  note_first_bytes();
}

bool Matcher::may_end() const {
  return std::ranges::any_of(chart_.back(), [&](const Item& item) {
    return item.rule == grammar_->root && item.begin == 0 && next(item) == nullptr;
  });
}

bool Matcher::must_end() const { return first_bytes_.none(); }

}  // namespace reform
