// Architectures as data. A new one that fits the forward is a row in kArchs; `if (architecture == ...)` stands nowhere.
#pragma once

#include <reform/status.h>

#include <string_view>

#include "runtime/model/model.h"

namespace reform {

struct Arch {
  const char* name;  // general.architecture
  Rope::Pairing pairing = Rope::Pairing::kHalves;
  Activation activation = Activation::kSilu;
  bool qkv_bias = false;         // biases of Q, K, V must be there (where false they may be)
  bool qk_norm = false;          // RMS norm of each query and key head before RoPE
  bool post_norms = false;       // RMS norm of each block's output before it is added
  bool scale_embedding = false;  // token embeddings times sqrt(d_model)
  // Every n-th layer attends to everything, those between to a sliding window; 0: all layers alike.
  int64_t window_period = 0;
  double window_freq_base = 0;  // RoPE base of the layers with a window; 0: the model's own
  // The one member of the family whose attention scale is 1 / sqrt(d_model / n_heads) instead of
  // 1 / sqrt(head_dim), known by its number of layers, as the file has no key for it; 0: none.
  int64_t wide_scale_n_layers = 0;
};

// kBadModel naming it and those known.
Result<Arch> find_arch(const Gguf& gguf);

// The hyperparameters, bounded and checked against each other. `inv_freq` is without the frequency factors that a
// tensor may hold; n_vocab is the tensor's matter too, and left 0.
Result<ModelShape> read_shape(const Gguf& gguf, const Arch& arch);

}  // namespace reform
