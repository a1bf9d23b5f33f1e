// Carries small arrays from the host to the device as a kernel's arguments, which are read at the launch. A copy from
// pageable memory may read them later ("might be synchronous" is all that the CUDA Runtime API's "API synchronization
// behavior" says), and a copy from pinned memory does.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>

#include "kernels/cuda/port.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// A launch takes 4 KiB of arguments on every chip (CUDA C++ Programming Guide, "__global__ function parameters").
// Emulation carries fewer words, so that tests have several launches.
constexpr int kPassedWords = kOnChip ? 1000 : 24, kPassedThreads = 256;
struct PassedWords {
  uint32_t w[kPassedWords];
};

__global__ void __launch_bounds__(kPassedThreads) place_words_kernel(PassedWords words, int n, uint32_t* to) {
  for (int i = int(threadIdx.x); i < n; i += kPassedThreads) to[i] = words.w[i];
}

// Copies in the order of the stream. `from` has been read when this returns.
template <class T>
void copy_to_device(Stream stream, T* to, std::span<const T> from) {
  static_assert(sizeof(T) == sizeof(uint32_t));
  for (size_t first = 0; first < from.size(); first += kPassedWords) {
    const size_t n = std::min(from.size() - first, size_t(kPassedWords));
    PassedWords words;
    std::memcpy(words.w, from.data() + first, n * sizeof(T));
    launch(stream, place_words_kernel, {1}, {kPassedThreads}, 0, words, int(n),
           reinterpret_cast<uint32_t*>(to + first));
  }
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
