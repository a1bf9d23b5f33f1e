// Plans which weights stay in a device's memory during a job, and how the rest gets there. Only numbers, no memory.
//
// Resident units are a stack at the bottom of the memory. So what is free above them, for slots and the job's buffers,
// is always one piece. Rearranging keeps a lower part of the stack where it is and copies what goes on top.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace reform {

enum class WeightPlace : uint8_t { kAuto, kResident, kHost, kFile };

// What a job needs. A unit is the number of a part of the model (a layer, the output matrix, the token embedding).
struct WeightDemand {
  std::vector<int64_t> unit_bytes;         // of every unit
  std::vector<int64_t> wanted;             // units, in the order in which they should become resident
  std::optional<int64_t> embedding;        // the last of `wanted`; its rows can be looked up on the host
  int64_t embedding_scratch_bytes = 0;     // of the device, for such look-ups; no more than the unit
  bool embedding_is_output = false;        // tied, and both are wanted: if not resident, it is streamed, too
  int64_t slot_bytes = 0;                  // of the largest streamed part
  int64_t room_bytes = 0;                  // for weights: what the job's buffers leave
  WeightPlace place = WeightPlace::kAuto;  // kHost and kFile are alike here
};

struct WeightLayout {
  int64_t n_kept = 0;          // units at the bottom of the stack that stay where they are
  std::vector<int64_t> added;  // units that are copied on top of them
  bool streams = false;        // wanted units that are not resident, through two slots
  bool host_embedding = false;
  int64_t total_bytes = 0;     // of all these, with kept units that are not wanted
  int64_t resident_bytes = 0;  // of wanted units
};

// The layout with the most wanted bytes resident; of equal ones, the one that copies least. nullopt: not even two slots
// fit.
std::optional<WeightLayout> lay_out(const WeightDemand& demand, std::span<const int64_t> stack);
// The least room_bytes that a layout needs.
int64_t least_weight_bytes(const WeightDemand& demand);

// [0, n) in an order of which every prefix is spread evenly. Streamed layers should lie between resident ones, whose
// work hides the copies.
std::vector<int64_t> spread(int64_t n);

}  // namespace reform
