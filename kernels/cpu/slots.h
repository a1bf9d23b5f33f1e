// Which slots of a cache are kept, and their scores: once a chunk and layer, so one thread and no scratch.
#pragma once

#include <span>

#include "kernels/ops.h"

namespace reform::cpu {

// As Ops has them.
void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores, std::span<int32_t> keep);
void compact_scores(std::span<float> scores, std::span<const int32_t> keep);

}  // namespace reform::cpu
