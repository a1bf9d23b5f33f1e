// Which weights stay in a device's memory during a job, and how the rest comes there: numbers only.
//
// Resident units are a stack at the bottom of the memory, so that what is free above them, for slots and the job's
// buffers, is always one piece. Rearranging keeps a lower part of the stack where it is and copies what goes on top.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace reform {

enum class WeightPlace : uint8_t { kAuto, kResident, kHost, kFile };

// What a job needs; units are numbers of parts of the model (layers, the output matrix, the token embedding).
struct WeightDemand {
  std::vector<int64_t> unit_bytes;         // of every unit
  std::vector<int64_t> wanted;             // units, those first that should be resident first
  std::optional<int64_t> embedding;        // of `wanted`, its last: its rows can be looked up on the host instead …
  int64_t embedding_scratch_bytes = 0;     // … which takes so much here, no more than all of it
  bool embedding_is_output = false;        // tied, and both are wanted: where it is not resident it is streamed, too
  int64_t slot_bytes = 0;                  // what any streamed part takes at most
  int64_t room_bytes = 0;                  // for all of it: what the job's buffers leave
  WeightPlace place = WeightPlace::kAuto;  // kHost and kFile are alike here
};

struct WeightLayout {
  int64_t n_kept = 0;          // units of the stack that stay where they are, from its bottom
  std::vector<int64_t> added;  // units that come on top of them
  bool streams = false;        // through two slots of slot_bytes: what is wanted and not resident
  bool host_embedding = false;
  int64_t total_bytes = 0;  // of all that, what is kept and not wanted included
};

// The layout with the most wanted bytes resident, and of those the one that copies least. Nothing if even two slots do
// not fit.
std::optional<WeightLayout> lay_out(const WeightDemand& demand, std::span<const int64_t> stack);
// What room_bytes must be at least.
int64_t least_weight_bytes(const WeightDemand& demand);

// [0, n) in an order any beginning of which is spread evenly: streamed layers should lie between resident ones, whose
// work hides the copies.
std::vector<int64_t> spread(int64_t n);

}  // namespace reform
