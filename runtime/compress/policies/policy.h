// What a chunk hands to the next, and which cache slots survive it: one small interface, one file per policy.
// To add one: a file here, a row in kPolicies (policy.cc). Tests iterate the table.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "kernels/ops.h"

namespace reform {

enum class Carry : uint8_t {
  kCache,    // the evicted cache goes on to the next chunk
  kNothing,  // chunks are independent; a short overlap before each is run again
};

struct Policy {
  const char* name;
  const char* summary;  // one line for --help and the docs
  Carry carry;
  // What is kept in `budget` slots, all of them, of which the first `sinks` < budget are never evicted. The heaviest
  // are by accumulated attention, which is summed only where some are wanted. Null when nothing is carried.
  KeptSlots (*kept)(int64_t budget, int64_t sinks);
  bool wants_scores;  // whether kept() wants heaviest slots of any budget
};

std::span<const Policy> policies();
const Policy* find_policy(const std::string& name);  // nullptr: unknown
std::string policy_names();                          // "h2o, recent, none"

KeptSlots keep_h2o(int64_t budget, int64_t sinks);
KeptSlots keep_recent(int64_t budget, int64_t sinks);

}  // namespace reform
