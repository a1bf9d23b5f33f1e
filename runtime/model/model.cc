#include "runtime/model/model.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <unordered_set>

#include "base/try.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model_arch.h"
#include "runtime/model/soundness.h"
#include "runtime/model/weights/source.h"

namespace reform {
namespace {

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

bool aligned_to(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

}  // namespace

// Binds the file's tensors to a Model. Only this class looks up tensors by name. Every tensor must be known: if the
// forward left one out (a bias, say), the results would be wrong.
struct ModelLoader {
  const Gguf& gguf;
  const Arch& arch;
  Model& model;
  std::unordered_set<std::string_view> used;

  // `dims` are as in the file: [cols, rows] of a matrix, [n] of a vector. nullptr: the tensor is absent and not
  // required.
  Result<const GgufTensor*> find(const std::string& name, std::span<const int64_t> dims, bool required) {
    const GgufTensor* tensor = gguf.find_tensor(name);
    if (tensor == nullptr) {
      if (!required) return tensor;
      return Status{Code::kBadModel, fmt::format("{}: tensor {} is missing: a {} model has it, of shape {}",
                                                 gguf.path(), name, arch.name, shape_text(dims))};
    }
    used.insert(tensor->name);
    std::vector<int64_t> shape = tensor->shape;
    while (shape.size() > dims.size() && shape.back() == 1) shape.pop_back();
    if (!std::ranges::equal(shape, dims)) {
      return Status{Code::kBadModel, fmt::format("{}: tensor {}: expected shape {}, found {}", gguf.path(), name,
                                                 shape_text(dims), shape_text(tensor->shape))};
    }
    return tensor;
  }

  Status matrix(const std::string& name, int64_t rows, int64_t cols, Weight& out, bool required = true) {
    const int64_t dims[] = {cols, rows};
    TRY_ASSIGN(const GgufTensor* tensor, find(name, dims, required));
    if (tensor == nullptr) return ok_status();
    if (!aligned_to(tensor->data.data(), 4)) {  // kernels read F32, F16 and block scales in place
      return {Code::kBadModel, fmt::format("{}: tensor {}: expected its data at a multiple of 4 bytes, found it at "
                                           "another (general.alignment)",
                                           gguf.path(), name)};
    }
    out = {tensor->type, rows, cols, tensor->data.data()};
    return ok_status();
  }

  // Aligned FP32 is used in place. Anything else is copied as FP32.
  Status vector(const std::string& name, int64_t n, std::span<const float>& out, bool required = true) {
    const int64_t dims[] = {n};
    TRY_ASSIGN(const GgufTensor* tensor, find(name, dims, required));
    if (tensor == nullptr) return ok_status();
    TRY(check_finite(gguf, *tensor));
    const void* data = tensor->data.data();
    if (tensor->type == QuantType::kF32 && aligned_to(data, alignof(float))) {
      out = {static_cast<const float*>(data), size_t(n)};
      return ok_status();
    }
    std::vector<float>& owned = model.owned_.emplace_back(size_t(n));
    if (tensor->type == QuantType::kF32) {
      std::memcpy(owned.data(), data, size_t(n) * sizeof(float));
    } else {
      dequantise(tensor->type, data, n, owned.data());
    }
    out = owned;
    return ok_status();
  }

  Status bind_layer(int64_t i) {
    const ModelShape& s = model.shape_;
    LayerWeights& w = model.layers_[size_t(i)];
    const std::string p = fmt::format("blk.{}.", i);
    const int64_t q_dim = s.n_heads * s.head_dim, kv_dim = s.n_kv_heads * s.head_dim;
    TRY(vector(p + "attn_norm.weight", s.d_model, w.attn_norm));
    TRY(vector(p + "ffn_norm.weight", s.d_model, w.ffn_norm));
    TRY(matrix(p + "attn_q.weight", q_dim, s.d_model, w.q));
    TRY(matrix(p + "attn_k.weight", kv_dim, s.d_model, w.k));
    TRY(matrix(p + "attn_v.weight", kv_dim, s.d_model, w.v));
    TRY(matrix(p + "attn_output.weight", s.d_model, q_dim, w.o));
    TRY(vector(p + "attn_q.bias", q_dim, w.q_bias, arch.qkv_bias));
    TRY(vector(p + "attn_k.bias", kv_dim, w.k_bias, arch.qkv_bias));
    TRY(vector(p + "attn_v.bias", kv_dim, w.v_bias, arch.qkv_bias));
    TRY(vector(p + "attn_output.bias", s.d_model, w.o_bias, false));
    TRY(matrix(p + "ffn_gate.weight", s.d_ff, s.d_model, w.gate));
    TRY(matrix(p + "ffn_up.weight", s.d_ff, s.d_model, w.up));
    TRY(matrix(p + "ffn_down.weight", s.d_model, s.d_ff, w.down));
    Weight* const matrices[kMatricesPerLayer] = {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down};
    for (int64_t k = 0; k < kMatricesPerLayer; ++k) matrices[k]->id = int32_t(i * kMatricesPerLayer + k);
    if (arch.qk_norm) {
      TRY(vector(p + "attn_q_norm.weight", s.head_dim, w.q_norm));
      TRY(vector(p + "attn_k_norm.weight", s.head_dim, w.k_norm));
    }
    if (arch.post_norms) {
      TRY(vector(p + "post_attention_norm.weight", s.d_model, w.attn_post_norm));
      TRY(vector(p + "post_ffw_norm.weight", s.d_model, w.ffn_post_norm));
    }
    return ok_status();
  }

  Status bind_embeddings() {
    ModelShape& s = model.shape_;
    const GgufTensor* embedding = gguf.find_tensor("token_embd.weight");
    s.n_vocab = embedding != nullptr && embedding->shape.size() >= 2 ? embedding->shape[1] : 1;
    if (s.n_vocab < 1 || s.n_vocab > (int64_t(1) << 30)) {
      return {Code::kBadModel,
              fmt::format("{}: tensor token_embd.weight: expected 1 to 2^30 rows, found {}", gguf.path(), s.n_vocab)};
    }
    TRY(matrix("token_embd.weight", s.n_vocab, s.d_model, model.token_embedding_));
    TRY(matrix("output.weight", s.n_vocab, s.d_model, model.output_, false));
    if (model.output_.data == nullptr) model.output_ = model.token_embedding_;
    TRY_ASSIGN(const auto tokens, gguf.get_strings("tokenizer.ggml.tokens"));
    if (tokens.has_value() && int64_t(tokens->size()) > s.n_vocab) {
      return {Code::kBadModel, fmt::format("{}: tensor token_embd.weight: expected a row for each of {} tokens, found "
                                           "{}",
                                           gguf.path(), tokens->size(), s.n_vocab)};
    }
    return vector("output_norm.weight", s.d_model, model.output_norm_);
  }

  // Llama 3 slows down the slow rotations further, by one divisor per pair.
  Status apply_rope_factors() {
    std::span<const float> factors;
    TRY(vector("rope_freqs.weight", int64_t(model.shape_.inv_freq.size()), factors, false));
    for (size_t i = 0; i < factors.size(); ++i) {
      if (!(std::isfinite(factors[i]) && factors[i] > 0)) {
        return {Code::kBadModel, fmt::format("{}: tensor rope_freqs.weight: expected positive numbers, found {}",
                                             gguf.path(), factors[i])};
      }
      model.shape_.inv_freq[i] /= factors[i];
    }
    return ok_status();
  }

  Status check_all_used() const {
    for (const GgufTensor& tensor : gguf.tensors()) {
      if (used.contains(tensor.name) || tensor.name.ends_with(".attn_rot_embd")) continue;  // a table that we compute
      return {Code::kBadModel, fmt::format("{}: tensor {} is not one of a {} model that we know how to run",
                                           gguf.path(), tensor.name.substr(0, 128), arch.name)};
    }
    return ok_status();
  }
};

Model::~Model() = default;

WeightSource& Model::weights() const {
  CHECK(weights_ != nullptr);
  return *weights_;
}

Status Model::move_to(Device& device, MemoryAccount& host, WeightPlace place) {
  weights_.reset();
  TRY_ASSIGN(weights_, make_weight_source(*gguf_, *this, device, host, place));
  return {};
}

Result<std::unique_ptr<Model>> Model::create(const Gguf& gguf) {
  TRY_ASSIGN(const Arch arch, find_arch(gguf));
  auto model = std::make_unique<Model>();
  model->gguf_ = &gguf;
  TRY_ASSIGN(model->shape_, read_shape(gguf, arch));
  ModelLoader loader{gguf, arch, *model, {}};
  TRY(loader.bind_embeddings());
  model->layers_.resize(size_t(model->shape_.n_layers));
  for (int64_t i = 0; i < model->shape_.n_layers; ++i) TRY(loader.bind_layer(i));
  TRY(loader.apply_rope_factors());
  TRY(loader.check_all_used());
  return model;
}

}  // namespace reform
