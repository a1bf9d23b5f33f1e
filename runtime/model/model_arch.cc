#include "runtime/model/model_arch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/try.h"
#include "runtime/model/gguf.h"

namespace reform {
namespace {

constexpr Arch kArchs[] = {
    // Llama 2 and 3, SmolLM2, Mistral, Mistral-NeMo. The converter permutes the rows of Q and K to adjacent pairs.
    {.name = "llama", .pairing = Rope::Pairing::kAdjacent},
    {.name = "qwen2", .qkv_bias = true},
    {.name = "qwen3", .qk_norm = true},
    // The norm weights in the file have Gemma's "+ 1" applied.
    {.name = "gemma3",
     .activation = Activation::kGeluTanh,
     .qk_norm = true,
     .post_norms = true,
     .scale_embedding = true,
     .window_period = 6,
     .window_freq_base = 10000,
     .wide_scale_n_layers = 62},  // gemma-3-27b: query_pre_attn_scalar 168 = 5376 / 32
};

// Keys that ask for mathematics that the forward does not do. Such a key is refused unless it has its neutral value.
struct RefusedKey {
  const char* key;
  double neutral;
  const char* what;
};
constexpr RefusedKey kRefusedKeys[] = {
    {"expert_count", 0, "mixture-of-experts models"},
    {"nextn_predict_layers", 0, "multi-token prediction layers"},
    {"attn_logit_softcapping", 0, "soft-capped attention logits"},
    {"final_logit_softcapping", 0, "soft-capped logits"},
    {"logit_scale", 1, "scaled logits"},
    {"residual_scale", 1, "scaled residuals"},
    {"embedding_scale", 1, "an explicit embedding scale"},
    {"attention.clamp_kqv", 0, "clamped projections"},
    {"attention.max_alibi_bias", 0, "ALiBi"},
    {"attention.temperature_length", 0, "attention temperature"},
    {"attention.temperature_scale", 0, "attention temperature"},
    {"attention.shared_kv_layers", 0, "layers that share a KV cache"},
};

// Bounds that no real model comes near, so that a hostile file cannot make us allocate or loop without end.
constexpr int64_t kMaxLayers = 1024, kMaxWidth = 1 << 20, kMaxHeads = 4096, kMaxHeadDim = 1024;
constexpr int64_t kMaxContextTokens = int64_t(1) << 31;

// Reads bounded metadata of one architecture.
class Keys {
 public:
  Keys(const Gguf& gguf, const Arch& arch) : gguf_(gguf), prefix_(std::string(arch.name) + ".") {}

  Status error(const std::string& key, const std::string& problem) const {
    return {Code::kBadModel, fmt::format("{}: metadata {}{}: {}", gguf_.path(), prefix_, key, problem)};
  }

  bool has(const std::string& key) const { return gguf_.has(prefix_ + key); }

  // An integer in [1, max]. If the key is absent: the fallback, or an error where the fallback is 0. A per-layer array
  // is accepted if all its elements are the same.
  Result<int64_t> size(const std::string& key, int64_t max, int64_t fallback = 0) const {
    TRY_ASSIGN(const auto values, gguf_.get_ints(prefix_ + key));
    if (!values.has_value() && fallback != 0) return fallback;
    if (!values.has_value() || values->empty()) {
      return error(key, fmt::format("expected a number in [1, {}], found none", max));
    }
    for (const int64_t v : *values) {
      if (v < 1 || v > max) return error(key, fmt::format("expected a number in [1, {}], found {}", max, v));
      if (v != values->front()) return error(key, "differs between layers, which is not supported");
    }
    return values->front();
  }

  // A finite number in [min, max], or the fallback.
  Result<double> number(const std::string& key, double min, double max, double fallback) const {
    TRY_ASSIGN(const auto value, gguf_.get_float(prefix_ + key));
    if (!value.has_value()) return fallback;
    if (!(*value >= min && *value <= max)) {
      return error(key, fmt::format("expected a number in [{}, {}], found {}", min, max, *value));
    }
    return *value;
  }

  Status refuse_unsupported() const {
    for (const RefusedKey& refused : kRefusedKeys) {
      if (!has(refused.key)) continue;
      const auto as_int = gguf_.get_ints(prefix_ + refused.key);
      const auto as_float = gguf_.get_float(prefix_ + refused.key);
      const bool neutral =
          (as_int.ok() && as_int.value().has_value() &&
           std::ranges::all_of(*as_int.value(), [&](int64_t v) { return double(v) == refused.neutral; })) ||
          (as_float.ok() && as_float.value().has_value() && *as_float.value() == refused.neutral);
      if (!neutral) return error(refused.key, fmt::format("{} are not supported", refused.what));
    }
    TRY_ASSIGN(const auto causal, gguf_.get_bool(prefix_ + "attention.causal"));
    if (causal.has_value() && !*causal)
      return error("attention.causal", "models that are not causal are not supported");
    return ok_status();
  }

  const Gguf& gguf() const { return gguf_; }
  const std::string& prefix() const { return prefix_; }

 private:
  const Gguf& gguf_;
  std::string prefix_;
};

std::vector<float> inverse_frequencies(int64_t rotary_dim, double base, double stretch) {
  std::vector<float> inv_freq(size_t(rotary_dim / 2));
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    inv_freq[i] = float(std::pow(base, -2.0 * double(i) / double(rotary_dim)) / stretch);
  }
  return inv_freq;
}

// By how much positions are stretched: the factor of linear scaling.
Result<double> rope_stretch(const Keys& keys) {
  TRY_ASSIGN(const auto type, keys.gguf().get_string(keys.prefix() + "rope.scaling.type"));
  // A factor without a type means linear, as llama.cpp reads it.
  const std::string_view kind = type.value_or("linear");
  if (kind != "none" && kind != "linear") {
    return keys.error("rope.scaling.type", fmt::format("'{}' is not supported (known: none, linear)", kind));
  }
  if (kind == "none") return 1.0;
  TRY_ASSIGN(const double older_name, keys.number("rope.scale_linear", 0, 1e6, 1));
  TRY_ASSIGN(const double factor, keys.number("rope.scaling.factor", 0, 1e6, older_name));
  return factor == 0 ? 1.0 : factor;  // 0 stands for "not set"
}

Status read_rope(const Keys& keys, const Arch& arch, ModelShape& shape) {
  TRY_ASSIGN(const int64_t rotary_dim, keys.size("rope.dimension_count", shape.head_dim, shape.head_dim));
  if (rotary_dim % 2 != 0) return keys.error("rope.dimension_count", fmt::format("{} is odd", rotary_dim));
  TRY_ASSIGN(const double base, keys.number("rope.freq_base", 1, 1e12, 10000));
  TRY_ASSIGN(const double stretch, rope_stretch(keys));
  TRY_ASSIGN(const double magnitude, keys.number("rope.scaling.attn_factor", 1e-3, 1e3, 1));
  shape.rope_pairing = arch.pairing;
  shape.rope_magnitude = float(magnitude);
  shape.inv_freq = inverse_frequencies(rotary_dim, base, stretch);
  if (shape.window > 0 && arch.window_freq_base > 0) {
    TRY_ASSIGN(const double local_base, keys.number("rope.freq_base_swa", 1, 1e12, arch.window_freq_base));
    shape.local_inv_freq = inverse_frequencies(rotary_dim, local_base, 1);
  }
  return ok_status();
}

// Which layers see only a window: those of the file's or the architecture's pattern, or all if there is no pattern
// (Mistral 7B v0.1).
Status read_window(const Keys& keys, const Arch& arch, ModelShape& shape) {
  shape.is_local.assign(size_t(shape.n_layers), false);
  if (arch.window_period == 0 && !keys.has("attention.sliding_window")) return ok_status();
  TRY_ASSIGN(const auto given_window, keys.gguf().get_int(keys.prefix() + "attention.sliding_window"));
  if (given_window.has_value() && *given_window == 0) return ok_status();  // 0: no layer has a window
  TRY_ASSIGN(shape.window, keys.size("attention.sliding_window", kMaxContextTokens));
  const std::string pattern_key = "attention.sliding_window_pattern";
  TRY_ASSIGN(const auto pattern, keys.gguf().get_ints(keys.prefix() + pattern_key));
  if (pattern.has_value() && pattern->size() > 1) {  // one flag per layer
    if (int64_t(pattern->size()) != shape.n_layers) {
      return keys.error(pattern_key, fmt::format("expected one flag for each of {} layers, found {}", shape.n_layers,
                                                 pattern->size()));
    }
    for (size_t i = 0; i < pattern->size(); ++i) shape.is_local[i] = (*pattern)[i] != 0;
    return ok_status();
  }
  int64_t period = arch.window_period;
  if (pattern.has_value()) {
    TRY_ASSIGN(period, keys.size(pattern_key, kMaxLayers));
  }
  for (int64_t i = 0; i < shape.n_layers; ++i) shape.is_local[size_t(i)] = period == 0 || (i + 1) % period != 0;
  return ok_status();
}

Status read_attention(const Keys& keys, const Arch& arch, ModelShape& shape) {
  TRY_ASSIGN(shape.n_heads, keys.size("attention.head_count", kMaxHeads));
  TRY_ASSIGN(shape.n_kv_heads, keys.size("attention.head_count_kv", kMaxHeads, shape.n_heads));
  if (shape.n_heads % shape.n_kv_heads != 0) {
    return keys.error("attention.head_count_kv",
                      fmt::format("{} KV heads do not divide {} query heads", shape.n_kv_heads, shape.n_heads));
  }
  if (!keys.has("attention.key_length") && shape.d_model % shape.n_heads != 0) {
    return keys.error("attention.head_count",
                      fmt::format("{} heads do not divide the width {}", shape.n_heads, shape.d_model));
  }
  const int64_t usual = std::max<int64_t>(shape.d_model / shape.n_heads, 1);
  TRY_ASSIGN(shape.head_dim, keys.size("attention.key_length", kMaxHeadDim, usual));
  TRY_ASSIGN(const int64_t value_dim, keys.size("attention.value_length", kMaxHeadDim, usual));
  if (shape.head_dim % 2 != 0 || shape.head_dim > kMaxHeadDim) {
    return keys.error("attention.key_length",
                      fmt::format("expected an even head size up to {}, found {}", kMaxHeadDim, shape.head_dim));
  }
  if (value_dim != shape.head_dim) {
    return keys.error("attention.value_length", fmt::format("{} differs from the key length {}, which is not supported",
                                                            value_dim, shape.head_dim));
  }
  const double scale_dim = shape.n_layers == arch.wide_scale_n_layers ? double(shape.d_model) / double(shape.n_heads)
                                                                      : double(shape.head_dim);
  TRY_ASSIGN(const double scale, keys.number("attention.scale", 0, 1e3, 0));
  shape.attention_scale = float(scale > 0 ? scale : 1.0 / std::sqrt(scale_dim));
  return ok_status();
}

}  // namespace

Result<Arch> find_arch(const Gguf& gguf) {
  TRY_ASSIGN(const auto name, gguf.get_string("general.architecture"));
  if (!name.has_value()) {
    return Status{Code::kBadModel, fmt::format("{}: metadata general.architecture is missing", gguf.path())};
  }
  std::string known;
  for (const Arch& arch : kArchs) {
    if (*name == arch.name) return arch;
    known += (known.empty() ? "" : ", ") + std::string(arch.name);
  }
  return Status{Code::kBadModel,
                fmt::format("{}: unknown architecture '{}' (known: {})", gguf.path(), name->substr(0, 64), known)};
}

Result<ModelShape> read_shape(const Gguf& gguf, const Arch& arch) {
  const Keys keys(gguf, arch);
  TRY(keys.refuse_unsupported());
  ModelShape shape;
  shape.architecture = arch.name;
  shape.activation = arch.activation;
  TRY_ASSIGN(shape.n_layers, keys.size("block_count", kMaxLayers));
  TRY_ASSIGN(shape.d_model, keys.size("embedding_length", kMaxWidth));
  TRY_ASSIGN(shape.d_ff, keys.size("feed_forward_length", kMaxWidth));
  TRY_ASSIGN(shape.trained_window_tokens, keys.size("context_length", kMaxContextTokens));
  TRY_ASSIGN(const double eps, keys.number("attention.layer_norm_rms_epsilon", 1e-30, 1, -1));
  if (eps < 0) return keys.error("attention.layer_norm_rms_epsilon", "is missing");
  shape.norm_eps = float(eps);
  if (arch.scale_embedding) shape.embedding_scale = float(std::sqrt(double(shape.d_model)));
  TRY(read_attention(keys, arch, shape));
  TRY(read_window(keys, arch, shape));
  TRY(read_rope(keys, arch, shape));
  return shape;
}

}  // namespace reform
