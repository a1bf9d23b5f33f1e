// Whether a library multiplies e4m3 codes as we ask it to.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/cuda/product_library.h"
#include "kernels/device.h"

namespace reform {

// Multiplies small matrices whose product is known. `memory` is the device's, 256-byte aligned and not in use. False if
// it is too small. `stream` is the one that the device's copies use.
bool multiplies_codes(cuda::ProductLibrary& library, Device& device, void* stream, std::span<std::byte> memory);

}  // namespace reform
