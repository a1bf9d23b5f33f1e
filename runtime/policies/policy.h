// What a chunk hands to the next, and which cache slots survive it: one small interface, one file per policy.
// To add one: a file here, a row in kPolicies (policy.cc). Tests iterate the table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace reform {

enum class Carry : uint8_t {
  kCache,    // the evicted cache goes on to the next chunk
  kNothing,  // chunks are independent; a short overlap before each is run again
};

struct EvictionInput {
  std::span<const float> scores;  // [kv_len] accumulated attention; empty unless the policy wants it
  int64_t kv_len = 0;
  int64_t budget = 0;  // slots to keep, < kv_len
  int64_t sinks = 0;   // the first slots, never evicted; < budget
};

struct Policy {
  const char* name;
  const char* summary;  // one line for --help and the docs
  Carry carry;
  bool wants_scores;
  // Fills keep with `budget` slots, ascending. Null when nothing is carried.
  void (*choose)(const EvictionInput& in, std::vector<int32_t>& keep);
};

std::span<const Policy> policies();
const Policy* find_policy(const std::string& name);  // nullptr: unknown
std::string policy_names();                          // "h2o, recent, none"

void keep_h2o(const EvictionInput& in, std::vector<int32_t>& keep);
void keep_recent(const EvictionInput& in, std::vector<int32_t>& keep);

}  // namespace reform
