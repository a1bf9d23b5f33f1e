// How a layer's tensors lie together in a device's memory, so that one copy brings them there.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/model/gguf.h"
#include "runtime/model/model.h"

namespace reform {

struct WeightBlob {
  struct Piece {
    std::span<const std::byte> data;  // at its host address
    int64_t offset = 0;               // in the blob, a multiple of kAlignment
  };
  static constexpr int64_t kAlignment = 256;  // equal to that of a device's allocations
  std::vector<Piece> pieces;                  // in the order of their offsets
  int64_t bytes = 0;                          // a multiple of kAlignment
  int64_t states_bytes = 0;                   // of a layer: all that q, k and v are computed from lies before this

  void add(std::span<const std::byte> data);
  // Reads bytes [begin, end) of the blob. kIo: the file was shortened or cannot be read.
  Status read(const Gguf& gguf, int64_t begin, int64_t end, std::byte* to) const;
};

WeightBlob layer_blob(const LayerWeights& layer);
WeightBlob matrix_blob(const Weight& w);
// `layer`, which has host addresses, with the addresses that its tensors have in its blob at `base`.
LayerWeights layer_at(const LayerWeights& layer, const std::byte* base);

}  // namespace reform
