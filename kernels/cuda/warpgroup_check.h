// Tries on a chip whether attention and its column sums by warpgroups are right.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "kernels/device.h"

namespace reform {

using MakeAttention =
    std::function<std::unique_ptr<Ops>(const OpLimits& limits, std::span<std::byte> workspace, bool warpgroups)>;

// Several tiles of rows and of keys, the last ones not full. There are enough rows that a chip does not split the keys.
struct WarpgroupTrial {
  int64_t n_tokens = 600, n_keys = 900, n_heads = 2;
};

// Solves a small problem of each tile size by warpgroups and by warps. False if the results differ, if a launch is
// refused, or if `memory` is too small. `memory` is the device's, 256-byte aligned and not in use. kUnavailable: the
// device has failed for good.
Result<bool> attends_by_warpgroups(Device& device, std::span<std::byte> memory, const MakeAttention& make,
                                   const WarpgroupTrial& trial = {});

}  // namespace reform
