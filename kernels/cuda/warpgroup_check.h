// Whether attention and its column sums by warpgroups are right on a chip: decided by trying it.
#pragma once

namespace reform {

// Small problems of each tile size, by warpgroups and by warps; the same for a chip as long as the process runs. CUDA's
// present device is `index`, on which this process has nothing yet: should the chip fault, its context is made anew.
bool attends_by_warpgroups(int index);

}  // namespace reform
