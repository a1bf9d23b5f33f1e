// What policies do with the slots of a cache, by definition. Arguments as in Ops.
#pragma once

#include <span>

#include "kernels/ops.h"

namespace reform::reference {

void choose_cascade(const Cascade& cascade, int64_t kv_len, std::span<const float> scores, std::span<int32_t> keep);

void merge_kv(const KvView& kv, bool has_merged, std::span<const int32_t> singles, std::span<float> weights,
              std::span<float> bias);

}  // namespace reform::reference
