// Scores stored embedding blocks against a question's rows, block by block, on the device.
#pragma once

#include <reform/status.h>

#include <memory>
#include <span>

#include "kernels/device.h"
#include "runtime/compress/embedding.h"

namespace reform {

class Scorer {
 public:
  static OpLimits limits(const EmbeddingLayout& layout, int64_t n_question_rows);
  // Blocks have at most max_block_rows. With max_segments > 0 it gives best_cosines(), else score(). The site's ops
  // must have limits().
  static Result<std::unique_ptr<Scorer>> create(const Site& site, const EmbeddingLayout& layout,
                                                int64_t n_question_rows, int64_t max_block_rows,
                                                int64_t max_segments = 0);
  // The question's rows as the compressor gave them, n_question_rows of them.
  Status set_question(std::span<const std::byte> rows);
  // One score per row (kernels/ops.h, score()); valid until the next call.
  Result<std::span<const float>> score(std::span<const std::byte> rows);
  // The largest cosine per segment of rows, head and question row (kernels/ops.h, best_cosines()); valid until the next
  // call. At most max_segments.
  Result<std::span<const float>> best_cosines(std::span<const std::byte> rows, std::span<const int32_t> segment_ends);

 private:
  // Rows in the arrays that Ops::score() takes, and the device's copies if ops do not see the host's memory.
  struct Rows {
    Buffer<int8_t> values;
    Buffer<float> scales;
    Buffer<std::byte> values_there, scales_there;
  };
  Scorer(const Site& site, const EmbeddingLayout& layout) : device_(site.device), ops_(site.ops), layout_(layout) {}
  Result<EmbeddingRows> for_ops(Rows& rows, std::span<const std::byte> stored);
  Result<std::span<const float>> for_host(int64_t n_scores);

  int64_t n_rows(std::span<const std::byte> rows) const { return int64_t(rows.size()) / layout_.row_bytes(); }

  Device& device_;
  Ops* const ops_;
  const EmbeddingLayout layout_;
  int64_t n_question_rows_ = 0;
  Rows question_, block_;
  EmbeddingRows question_rows_;
  Buffer<float> scores_;           // [max_block_rows], or [max_segments, n_heads, n_question_rows]
  Buffer<std::byte> host_scores_;  // the host's copy, if it needs one
};

}  // namespace reform
