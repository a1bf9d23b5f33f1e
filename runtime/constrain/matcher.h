// Follows a text through a grammar, byte by byte.
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
  // What is still to come, the next last. Each is an element of a sequence; what is behind it there follows.
  struct Place {
    int32_t rule = 0, alternative = 0, index = 0;
    auto operator<=>(const Place&) const = default;
  };
  using Stack = std::vector<Place>;
  // All ways in which the text so far may go on. The next of each is a byte; an empty one ends here.
  using Stacks = std::vector<Stack>;

  const Grammar::Sequence& sequence(const Place& place) const;
  void expand(Stack stack, Stacks& out) const;
  Stacks after(const Stacks& stacks, unsigned char byte) const;
  void take(Stacks stacks);

  std::shared_ptr<const Grammar> grammar_;
  Stacks stacks_;
  Grammar::ByteSet first_bytes_;  // that may come next
};

}  // namespace reform
