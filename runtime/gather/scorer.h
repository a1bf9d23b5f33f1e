// Scores stored rows against a question's rows on the device, block by block.
#pragma once

#include <reform/status.h>

#include <memory>
#include <span>

#include "kernels/device.h"
#include "runtime/compress/embedding.h"

namespace reform {

class Scorer {
 public:
  // `question_rows` are as Compressor::run_question() gave them; a block has at most max_block_tokens rows.
  static Result<std::unique_ptr<Scorer>> create(Device& device, Ops& ops, const EmbeddingLayout& layout,
                                                std::span<const std::byte> question_rows, int64_t max_block_tokens);
  // What the kernels given to create() must hold.
  static OpLimits limits(const EmbeddingLayout& layout, int64_t n_question_rows);
  // What it takes of a device with memory of its own, beside the kernels' workspace.
  static int64_t device_bytes(const EmbeddingLayout& layout, int64_t n_question_rows, int64_t max_block_tokens);
  // One score per row (kernels/ops.h, score()); valid until the next call.
  Result<std::span<const float>> score(std::span<const std::byte> rows);

 private:
  Scorer(Device& device, Ops& ops, const EmbeddingLayout& layout)
      : device_(device), ops_(ops), layout_(layout), question_(layout), block_(layout) {}
  // A copy of rows on a device with memory of its own.
  struct Rows {
    Buffer<int8_t> values;
    Buffer<float> scales;
  };
  Status make_rows(Rows& rows, int64_t n_rows);
  Result<EmbeddingRows> on_device(const EmbeddingRows& rows, Rows& copy);

  Device& device_;
  Ops& ops_;
  const EmbeddingLayout layout_;
  SplitRows question_, block_;
  Rows device_question_, device_block_;
  Buffer<float> device_scores_;
  EmbeddingRows question_rows_;
  std::vector<float> scores_;
};

}  // namespace reform
