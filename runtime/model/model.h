// A model: its architecture as data, and its weights, in the file's mapping. Where a device has memory of its own, ops
// find them in places of their own (weights/places.h).
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/device.h"

namespace reform {

class CancelToken;
class Gguf;
class WeightPlaces;
enum class WeightPlace : uint8_t;

// Everything the one forward needs to know of an architecture. A new one is a row in kArchs (model_arch.cc).
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
  std::vector<float> local_inv_freq;  // of sliding-window layers where they differ (gemma3)
  float rope_magnitude = 1.0f;
  int64_t window = 0;          // sliding window of local layers, 0: none
  std::vector<bool> is_local;  // [n_layers]
};

inline constexpr int64_t kMatricesPerLayer = 7;  // Weight::id counts them from layer 0 on

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
  // Checks every tensor's shape and type; an unknown architecture or a missing tensor is kBadModel naming it.
  static Result<std::unique_ptr<Model>> create(const Gguf& gguf);

  ~Model();

  // From now on it runs there. The host's account, as the device, outlives the model.
  Status move_to(Device& device, MemoryAccount& host, WeightPlace place);
  WeightPlaces* places() const { return places_.get(); }  // nullptr: ops find them where the host does

  bool streams() const;  // whether layers come and go
  // Where the host looks up embedding rows, it does so now: then embed() of the same few ids makes no copies.
  Status look_up(std::span<const int32_t> ids) const;

  // Weights for ops issued from now on, until more are asked for. kUnavailable, kIo, kCancelled where they are
  // streamed.
  Result<const LayerWeights*> layer_for_ops(int64_t i, const CancelToken* cancel) const;
  Status embed(Ops& ops, std::span<const int32_t> ids, MatView<float> out) const;
  // logits[rows, n_vocab] of rows that have been through the output norm.
  Status output_for_ops(Ops& ops, MatView<const float> normed, MatView<float> logits, const CancelToken* cancel) const;
  std::span<const float> output_norm_for_ops() const;

  // As the host knows them.
  const ModelShape& shape() const { return shape_; }
  const LayerWeights& layer(int64_t i) const { return layers_[size_t(i)]; }
  const Weight& token_embedding() const { return token_embedding_; }  // [n_vocab, d_model]
  const Weight& output() const { return output_; }                    // [n_vocab, d_model], tied or not
  std::span<const float> output_norm() const { return output_norm_; }

 private:
  friend struct ModelLoader;
  const Gguf* gguf_ = nullptr;  // outlives the model
  ModelShape shape_;
  std::vector<LayerWeights> layers_;
  Weight token_embedding_, output_;
  std::span<const float> output_norm_;
  std::vector<std::vector<float>> owned_;  // small tensors that had to be converted to FP32
  std::unique_ptr<WeightPlaces> places_;   // once moved
};

}  // namespace reform
