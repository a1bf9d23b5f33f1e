// What a store must hold: a plain map of what was reported as saved, and of what was begun since and may exist too.
//
// Every operation first says which state it leads to (may_become). Once the store has reported that state as saved, it
// says that no earlier state is right any more (is_saved). After a crash the store must hold exactly one of the
// remaining states.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/storage/support/store_fixture.h"

namespace reform::test {

// A context made by the tests' scripts. Its bytes are functions of the seed.
struct ExpectedContext {
  uint64_t seed = 0;
  int64_t n_tokens = 0;
  bool complete = false;
  std::string progress;
  std::set<int64_t> checkpoints;  // by their numbers of tokens
  bool operator==(const ExpectedContext&) const = default;
};
using ExpectedStore = std::map<std::pair<std::string, Which>, ExpectedContext>;

constexpr int32_t kOracleRowBytes = 37;
extern const std::vector<int64_t> kOraclePartBytes;  // of every checkpoint
uint64_t part_seed(uint64_t seed, int64_t n_tokens);
std::string settings_of(uint64_t seed);  // the context's settings name its seed

class Oracle {
 public:
  void may_become(const std::function<void(ExpectedStore&)>& change);
  void is_saved() { possible_.erase(possible_.begin(), possible_.end() - 1); }
  const ExpectedStore& newest() const { return possible_.back(); }

  // Reads everything. Returns "" if it is one of the possible states byte for byte, else what is wrong. The state found
  // is then the only one. The context `damaged` may report any damage, but what is read of it must be right.
  std::string judge(ContextStore& store, const std::string& damaged = "");
  // kInternal if what is read is wrong, else the first Status of a read that is not ok.
  Status check_bytes(ContextData& data, const ExpectedContext& expected);
  int64_t bytes_checked() const { return bytes_checked_; }

 private:
  Status read_entry(ContextStore& store, const ContextEntry& entry, ExpectedStore& found);
  std::vector<ExpectedStore> possible_ = {{}};  // oldest first
  int64_t bytes_checked_ = 0;
};

}  // namespace reform::test
