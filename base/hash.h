// A running XXH3-128, printed as 32 hex digits.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace reform {

class RunningHash {
 public:
  RunningHash();
  void add(const void* data, size_t n_bytes);
  // Adds the length too, so that "ab", "c" and "a", "bc" differ.
  void add_text(std::string_view text);
  std::string hex() const;
  std::string bytes() const;  // the 16 bytes, low half first, little-endian: archives end with them
  RunningHash copy() const;

 private:
  std::unique_ptr<XXH3_state_s, void (*)(XXH3_state_s*)> state_;
};

}  // namespace reform
