// Pages: the text's own keys and values, kept with each chunk beside its embedding rows (after InfLLM, arXiv
// 2402.04617, whose unit is a block). A page is a run of a chunk's tokens. The keys are before RoPE, as those of the
// cache are. Layouts are on disk (docs/FORMAT.md): never change them.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/memory.h"
#include "base/views.h"
#include "kernels/device.h"
#include "runtime/compress/embedding.h"
#include "runtime/model/model.h"

namespace reform {

struct PageLayout {
  int64_t n_layers = 0, n_kv_heads = 0, head_dim = 0;

  static PageLayout of(const ModelShape& s) { return {s.n_layers, s.n_kv_heads, s.head_dim}; }
  int64_t layer_width() const { return n_kv_heads * head_dim; }
  // A token's states: a row like an embedding row, but the states keep their lengths. First a layer's keys, then its
  // values, for each layer.
  EmbeddingLayout states() const { return {2 * n_layers * n_kv_heads, head_dim}; }
  // A page's key: the means of its tokens' keys, FP16 [n_layers, n_kv_heads, head_dim].
  int64_t key_bytes() const { return n_layers * layer_width() * 2; }
};

// What a chunk leaves: states [n_tokens, PageLayout::states()] and keys [n_pages, PageLayout::key_bytes()].
struct ChunkPages {
  std::span<const std::byte> states, keys;
};

// Writes a chunk's pages while it runs. Only where the host sees the device's memory.
class PageRecorder {
 public:
  static Result<std::unique_ptr<PageRecorder>> create(const Site& site, const PageLayout& layout, int64_t page_tokens,
                                                      int64_t max_tokens);
  void begin(int64_t n_tokens) { n_tokens_ = n_tokens; }
  // One layer of the chunk: k, v [n_tokens, n_kv_heads * head_dim], k before RoPE.
  void add(int64_t layer, MatView<const float> k, MatView<const float> v);
  ChunkPages pages() const;  // until the next begin()

 private:
  PageRecorder(const PageLayout& layout, int64_t page_tokens) : layout_(layout), page_tokens_(page_tokens) {}
  void add_states(int64_t first_head, MatView<const float> x);

  const PageLayout layout_;
  const int64_t page_tokens_;
  int64_t n_tokens_ = 0;
  Buffer<std::byte> states_, keys_;
};

// One layer of a page's states [k.rows tokens]: k, v [n_tokens, n_kv_heads * head_dim]. Stored states are outside data:
// kCorrupt, without the page's name, if a scale is not finite.
Status read_page_layer(const PageLayout& layout, std::span<const std::byte> states, int64_t layer, MatView<float> k,
                       MatView<float> v);
// A page's key as floats [n_layers * n_kv_heads * head_dim]; likewise.
Status read_page_key(std::span<const std::byte> key, std::span<float> out);

}  // namespace reform
