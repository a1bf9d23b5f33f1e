// Follows a text through a grammar, byte by byte: Earley's recogniser (doi 10.1145/362007.362035), with what Aycock and
// Horspool add for rules that may be empty (doi 10.1093/comjnl/45.6.620). All ways to read the text so far are kept at
// a time, shared as far as they go together, so that their number does not grow with the choices at each level.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "runtime/constrain/grammar.h"

namespace reform {

class Matcher {
 public:
  explicit Matcher(std::shared_ptr<const Grammar> grammar);

  bool allows(std::string_view text) const;  // whether it may come next
  void push(std::string_view text);          // it came; it must be allowed
  bool may_end() const;                      // what came is whole
  bool must_end() const;                     // and nothing may follow

 private:
  // A sequence of a rule that was begun at byte `begin`, read up to its element `at`.
  struct Item {
    int32_t rule = 0, alternative = 0, at = 0, begin = 0;
    auto operator<=>(const Item&) const = default;
    Item further() const { return {rule, alternative, at + 1, begin}; }
  };
  using Items = std::vector<Item>;

  const Grammar::Sequence& sequence(const Item& item) const;
  const Grammar::Element* next(const Item& item) const;  // nullptr: it is whole
  // What is known at each byte: the chart's, then `more`.
  const Items& items_at(int32_t byte, const std::vector<Items>& more) const;
  // Adds what follows from the items at the last byte of chart and `more`, which are `items`.
  void complete(Items& items, const std::vector<Items>& more) const;
  // The items after one more byte; none: it may not come.
  Items after(unsigned char byte, const std::vector<Items>& more) const;
  void note_first_bytes();

  std::shared_ptr<const Grammar> grammar_;
  std::vector<bool> may_be_empty_;  // of the rules
  std::vector<Items> chart_;        // after each byte so far, none of them included
  Grammar::ByteSet first_bytes_;    // that may come next
};

}  // namespace reform
