// Architectures as data. A new one that fits the forward is a row in kArchs; there is no `if (architecture == ...)`.
#pragma once

#include <reform/status.h>

#include <string_view>

#include "runtime/model/model.h"

namespace reform {

struct Arch {
  const char* name;  // general.architecture
  Rope::Pairing pairing = Rope::Pairing::kHalves;
  Activation activation = Activation::kSilu;
  bool qkv_bias = false;         // Q, K and V must have biases (if false, they may)
  bool qk_norm = false;          // RMS norm of each query and key head before RoPE
  bool post_norms = false;       // RMS norm of each block's output before it is added
  bool scale_embedding = false;  // token embeddings times sqrt(d_model)
  // Every n-th layer attends to all tokens, the others to a sliding window. 0: all layers are alike.
  int64_t window_period = 0;
  double window_freq_base = 0;  // RoPE base of the layers with a window; 0: the model's own
  // The number of layers of the one model in the family whose attention scale is 1 / sqrt(d_model / n_heads) instead of
  // 1 / sqrt(head_dim). The file has no key for that, so the number identifies the model. 0: none.
  int64_t wide_scale_n_layers = 0;
};

// kBadModel names the unknown architecture and the known ones.
Result<Arch> find_arch(const Gguf& gguf);

// The hyperparameters, bounded and checked against each other. What is in tensors comes later: n_vocab is left 0, and
// inv_freq lacks the frequency factors.
Result<ModelShape> read_shape(const Gguf& gguf, const Arch& arch);

}  // namespace reform
