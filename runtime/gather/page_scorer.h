// Which pages fit a question, by their keys (compress/pages.h), once for all layers (KVMem, arXiv 2609.04852):
//   score of page b = sum over tokens m of the mean over layers l and heads h of softmax_b(scale * q[m, l, h] . key[b,
//   l, h])
// with queries before RoPE; layers with a window do not count. The softmax is over all pages, so they are read twice,
// and memory does not grow with their number.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device.h"
#include "runtime/compress/pages.h"
#include "runtime/model/model.h"
#include "storage/format/block_map.h"

namespace reform {

// The queries of a question in all layers: [n_layers, n_kv_heads, n_tokens * query heads per KV head, head_dim].
class PageQuestion {
 public:
  static int64_t bytes(const ModelShape& shape, int64_t n_tokens);
  PageQuestion(const ModelShape& shape, int64_t n_tokens);
  void add(int64_t layer, MatView<const float> q);  // [n_tokens, n_heads * head_dim], before RoPE
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(queries_)); }

 private:
  const int64_t n_kv_heads_, group_, head_dim_, n_tokens_;
  std::vector<float> queries_;
};

class PageScorer {
 public:
  static OpLimits limits(const ModelShape& shape, int64_t n_question_tokens);
  // The site's ops must have limits(), and its device is the host.
  static Result<std::unique_ptr<PageScorer>> create(const Site& site, const ModelShape& shape,
                                                    int64_t n_question_tokens);

  // Passes the key of each page to its argument, in order.
  using Scan = std::function<Status(const std::function<Status(TokenRange page, std::span<const std::byte> key)>&)>;
  // `question` as PageQuestion::bytes() gave it. on_score gets each page in order. kCorrupt, naming the page, if a key
  // is not finite.
  Status run(std::span<const std::byte> question, const Scan& scan,
             const std::function<void(TokenRange page, double score)>& on_score);

 private:
  PageScorer(const Site& site, const ModelShape& shape, int64_t n_question_tokens);
  Status read(const Scan& scan, const std::function<void()>& on_batch);
  void compare(int64_t layer, int64_t kv_head);
  void weigh();
  void score(const std::function<void(TokenRange, double)>& on_score);

  Ops* const ops_;
  const PageLayout layout_;
  const int64_t n_heads_;  // query heads of a layer
  const int64_t n_rows_;   // queries of a KV head: tokens times query heads
  const float scale_;
  std::vector<int64_t> layers_;    // that count
  MatView<const float> queries_;   // [n_layers * n_kv_heads * n_rows, head_dim]
  std::vector<TokenRange> batch_;  // the pages whose keys are in keys_
  Buffer<float> keys_;             // [n_layers * n_kv_heads, kBatchPages, head_dim]
  Buffer<float> key_;              // of one page, in its own order
  Buffer<float> logits_;           // [n_rows, kBatchPages]
  Buffer<double> largest_, sums_;  // of a softmax so far: [n_layers * n_kv_heads, n_rows]
};

}  // namespace reform
