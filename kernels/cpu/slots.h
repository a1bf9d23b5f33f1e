// Chooses the slots of a cache that are kept, and moves their scores. Each runs once a chunk and layer, so it uses one
// thread and no scratch.
#pragma once

#include <span>

#include "kernels/ops.h"

namespace reform::cpu {

// As in Ops.
void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores, std::span<int32_t> keep);
void choose_cascade(const Cascade& cascade, int64_t kv_len, std::span<const float> scores, std::span<int32_t> keep);
void compact_scores(std::span<float> scores, std::span<const int32_t> keep);

}  // namespace reform::cpu
