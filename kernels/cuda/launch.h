// Starting kernels in a stream's order; under emulation, at once.
#pragma once

#include <type_traits>

#include "kernels/cuda/port.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

#ifdef __CUDACC__

inline constexpr bool kOnChip = true;
using Stream = cudaStream_t;

// A failed launch shows when the stream is next waited for (cudaGetLastError is the device's to ask).
template <class... Params>
void launch(Stream stream, void (*kernel)(Params...), Dim n_blocks, Dim n_threads, int shared_bytes,
            std::type_identity_t<Params>... args) {
  if (shared_bytes > 48 * 1024) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  kernel<<<n_blocks, n_threads, size_t(shared_bytes), stream>>>(args...);
}

#else

// Sizes are small where this is false, so that tests have several of what a chip has one of, and end.
inline constexpr bool kOnChip = false;
using Stream = void*;

template <class... Params>
void launch(Stream stream, void (*kernel)(Params...), Dim n_blocks, Dim n_threads, int shared_bytes,
            std::type_identity_t<Params>... args) {
  const auto run = [=] { emulated::run_grid(n_blocks, n_threads, shared_bytes, [&] { kernel(args...); }); };
  emulated::on_launch ? emulated::on_launch(stream, reinterpret_cast<const void*>(kernel), run) : run();
}

#endif

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
