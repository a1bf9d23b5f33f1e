// A model: its architecture as data, and its weights in the file's mapping. Ops get weights from a WeightSource
// (weights/source.h), since a device may have memory of its own.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/device.h"

namespace reform {

class Gguf;
class WeightSource;
enum class WeightPlace : uint8_t;

// Everything that the forward needs to know about an architecture. A new architecture is a row in kArchs
// (model_arch.cc).
struct ModelShape {
  std::string architecture;  // general.architecture
  int64_t n_layers = 0, d_model = 0, d_ff = 0, n_vocab = 0;
  int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  int64_t trained_window_tokens = 0;
  float norm_eps = 1e-6f;
  float embedding_scale = 1.0f;  // gemma: sqrt(d_model)
  float attention_scale = 0.0f;  // 1 / sqrt(head_dim), or as the model says
  Activation activation = Activation::kSilu;
  Rope::Pairing rope_pairing = Rope::Pairing::kHalves;
  std::vector<float> inv_freq;        // [rotary_dim / 2], frequency factors applied
  std::vector<float> local_inv_freq;  // of sliding-window layers if theirs differ (gemma3)
  float rope_magnitude = 1.0f;
  int64_t window = 0;          // sliding window of local layers in tokens; 0: none
  std::vector<bool> is_local;  // [n_layers]
};

inline constexpr int64_t kMatricesPerLayer = 7;  // Weight::id numbers them from layer 0 on

// Empty spans (or data == nullptr) where the architecture has none.
struct LayerWeights {
  std::span<const float> attn_norm, ffn_norm;            // [d_model]
  std::span<const float> attn_post_norm, ffn_post_norm;  // gemma3
  std::span<const float> q_norm, k_norm;                 // [head_dim] qwen3, gemma3
  Weight q, k, v, o;  // [n_heads * head_dim, d_model] … [d_model, n_heads * head_dim]
  std::span<const float> q_bias, k_bias, v_bias, o_bias;
  Weight gate, up, down;  // [d_ff, d_model] x2, [d_model, d_ff]
};

class Model {
 public:
  // Checks every tensor's shape and type. kBadModel names an unknown architecture or a missing tensor.
  static Result<std::unique_ptr<Model>> create(const Gguf& gguf);

  ~Model();

  // From now on the model runs on `device`, which must outlive it, as must `host`. kMemoryCap, kIo.
  Status move_to(Device& device, MemoryAccount& host, WeightPlace place);
  WeightSource& weights() const;  // for ops, once move_to() has succeeded

  // Weights at their host addresses, whatever device the model runs on.
  const ModelShape& shape() const { return shape_; }
  const LayerWeights& layer(int64_t i) const { return layers_[size_t(i)]; }
  const Weight& token_embedding() const { return token_embedding_; }  // [n_vocab, d_model]
  const Weight& output() const { return output_; }                    // [n_vocab, d_model]; the embedding where tied
  std::span<const float> output_norm() const { return output_norm_; }

 private:
  friend struct ModelLoader;
  const Gguf* gguf_ = nullptr;  // outlives the model
  ModelShape shape_;
  std::vector<LayerWeights> layers_;
  Weight token_embedding_, output_;
  std::span<const float> output_norm_;
  std::vector<std::vector<float>> owned_;  // small tensors that had to be converted to FP32
  std::unique_ptr<WeightSource> weights_;
};

}  // namespace reform
