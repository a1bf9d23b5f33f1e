#include "runtime/model/synthetic/model.h"

#include <fmt/format.h>
#include <utf8cpp/utf8.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <iterator>
#include <numbers>
#include <optional>
#include <span>
#include <vector>

#include "base/try.h"
#include "runtime/model/gguf_format.h"
#include "runtime/model/gguf_vocabulary.h"
#include "runtime/model/model.h"
#include "runtime/model/synthetic/gguf_header.h"
#include "runtime/model/synthetic/weight_pattern.h"

namespace reform {
namespace {

// Raise this when the same name and type give other weights or another tokenizer. It is part of the fingerprint.
constexpr uint32_t kGeneratorVersion = 1;
constexpr uint64_t kAlignment = 4096;  // a page, so that each matrix begins on a page
constexpr uint64_t kBiasSeed = 0x62696173;

struct Shape {
  const char* name;
  const char* architecture;  // a row of kArchs (model_arch.cc)
  int64_t n_layers, d_model, d_ff, n_heads, n_kv_heads, head_dim, n_vocab, window_tokens;
  float rope_base, norm_eps;
  bool qkv_bias, slowed_rope;  // slowed_rope: as in Llama 3.1
};

// From each model's config.json on Hugging Face: mistralai/Mistral-Nemo-Base-2407 (its card says 14,436 for d_ff, which
// is a slip), Qwen/Qwen2.5-7B, meta-llama/Llama-3.1-8B. None ties its output to its embedding. tiny is for tests.
constexpr Shape kShapes[] = {
    {"mistral-nemo-12b", "llama", 40, 5120, 14336, 32, 8, 128, 131072, 1024000, 1e6f, 1e-5f, false, false},
    {"qwen2.5-7b", "qwen2", 28, 3584, 18944, 28, 4, 128, 152064, 131072, 1e6f, 1e-6f, true, false},
    {"llama-3.1-8b", "llama", 32, 4096, 14336, 32, 8, 128, 128256, 131072, 5e5f, 1e-5f, false, true},
    {"tiny", "qwen2", 5, 256, 768, 8, 2, 64, 331, 32768, 1e4f, 1e-5f, true, true},
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return out;
}

std::string known() {
  std::string names, types;
  for (const Shape& shape : kShapes) names += fmt::format("{}{}", names.empty() ? "" : ", ", shape.name);
  for (size_t i = 0; i < size_t(QuantType::kCount); ++i) {
    types += fmt::format("{}{}", i == 0 ? "" : ", ", lower(geometry(QuantType(i)).name));
  }
  return fmt::format("expected NAME:TYPE; names: {}; types: {}", names, types);
}

const Shape* find_shape(std::string_view name) {
  const auto* found = std::ranges::find_if(kShapes, [&](const Shape& s) { return name == s.name; });
  return found == std::end(kShapes) ? nullptr : found;
}

std::optional<QuantType> find_type(std::string_view name) {
  for (size_t i = 0; i < size_t(QuantType::kCount); ++i) {
    if (lower(name) == lower(geometry(QuantType(i)).name)) return QuantType(i);
  }
  return std::nullopt;
}

// By how much Llama 3.1 slows each pair's rotation (Llama 3 paper's released code, apply_scaling; config.json's
// rope_scaling: factor 8, low 1, high 4, original window 8,192): fast rotations not at all, slow ones eightfold.
std::vector<float> slowed_rope_factors(const Shape& shape) {
  constexpr double kFactor = 8, kLow = 1, kHigh = 4, kWindow = 8192;
  std::vector<float> factors(size_t(shape.head_dim / 2));
  for (size_t i = 0; i < factors.size(); ++i) {
    const double wave =
        2 * std::numbers::pi * std::pow(double(shape.rope_base), 2.0 * double(i) / double(shape.head_dim));
    const double fast = std::clamp((kWindow / wave - kLow) / (kHigh - kLow), 0.0, 1.0);
    factors[i] = float(1 / ((1 - fast) / kFactor + fast));
  }
  return factors;
}

std::vector<float> random_biases(int64_t layer, int64_t part, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t random = mix_bits(kBiasSeed + (uint64_t(layer * 3 + part) << 32) + i);
    values[i] = WeightPattern::kDeviation * std::sqrt(3.0f) * (float(random >> 40) * 0x1p-23f - 1);
  }
  return values;
}

// One tensor. `values` is empty for a matrix.
struct Tensor {
  std::string name;
  std::vector<uint64_t> dims;  // [cols, rows]
  std::vector<float> values;
};

std::vector<Tensor> all_tensors(const Shape& s) {
  std::vector<Tensor> vectors, matrices;
  const auto vector = [&](const std::string& name, std::vector<float> values) {
    vectors.push_back({name, {values.size()}, std::move(values)});
  };
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t cols) {
    matrices.push_back({name, {uint64_t(cols), uint64_t(rows)}, {}});
  };
  const std::vector<float> ones(size_t(s.d_model), 1.0f);
  const int64_t q_dim = s.n_heads * s.head_dim, kv_dim = s.n_kv_heads * s.head_dim;
  if (s.slowed_rope) vector("rope_freqs.weight", slowed_rope_factors(s));
  matrix("token_embd.weight", s.n_vocab, s.d_model);
  for (int64_t i = 0; i < s.n_layers; ++i) {
    const std::string p = fmt::format("blk.{}.", i);
    vector(p + "attn_norm.weight", ones);
    vector(p + "ffn_norm.weight", ones);
    if (s.qkv_bias) {
      vector(p + "attn_q.bias", random_biases(i, 0, q_dim));
      vector(p + "attn_k.bias", random_biases(i, 1, kv_dim));
      vector(p + "attn_v.bias", random_biases(i, 2, kv_dim));
    }
    matrix(p + "attn_q.weight", q_dim, s.d_model);
    matrix(p + "attn_k.weight", kv_dim, s.d_model);
    matrix(p + "attn_v.weight", kv_dim, s.d_model);
    matrix(p + "attn_output.weight", s.d_model, q_dim);
    matrix(p + "ffn_gate.weight", s.d_ff, s.d_model);
    matrix(p + "ffn_up.weight", s.d_ff, s.d_model);
    matrix(p + "ffn_down.weight", s.d_model, s.d_ff);
  }
  vector("output_norm.weight", ones);
  matrix("output.weight", s.n_vocab, s.d_model);
  vectors.insert(vectors.end(), std::move_iterator(matrices.begin()), std::move_iterator(matrices.end()));
  return vectors;
}

void add_shape(const Shape& s, GgufHeader& header) {
  const std::string p = std::string(s.architecture) + ".";
  header.add(p + "block_count", uint32_t(s.n_layers));
  header.add(p + "embedding_length", uint32_t(s.d_model));
  header.add(p + "feed_forward_length", uint32_t(s.d_ff));
  header.add(p + "context_length", uint32_t(s.window_tokens));
  header.add(p + "attention.head_count", uint32_t(s.n_heads));
  header.add(p + "attention.head_count_kv", uint32_t(s.n_kv_heads));
  header.add(p + "attention.key_length", uint32_t(s.head_dim));
  header.add(p + "attention.value_length", uint32_t(s.head_dim));
  header.add(p + "attention.layer_norm_rms_epsilon", s.norm_eps);
  header.add(p + "rope.dimension_count", uint32_t(s.head_dim));
  header.add(p + "rope.freq_base", s.rope_base);
}

// Byte-level BPE without merges: token b is byte b. Then come the chat template's tokens, then names up to the
// vocabulary's size; no text is ever split into those.
void add_tokenizer(const Shape& s, GgufHeader& header) {
  std::vector<std::string> tokens;
  std::vector<int32_t> kinds;
  const auto add = [&](std::string text, TokenKind kind) {
    tokens.push_back(std::move(text));
    kinds.push_back(int32_t(kind));
  };
  for (const uint32_t code_point : byte_alphabet()) {
    std::string text;
    utf8::append(char32_t(code_point), text);
    add(text, TokenKind::kNormal);
  }
  for (const char* text : {"<|im_start|>", "<|im_end|>"}) add(text, TokenKind::kControl);
  header.add("tokenizer.ggml.eos_token_id", uint32_t(tokens.size() - 1));
  while (int64_t(tokens.size()) < s.n_vocab) add(fmt::format("[{}]", tokens.size()), TokenKind::kUnused);
  header.add("tokenizer.ggml.model", "gpt2");
  header.add("tokenizer.ggml.pre", "gpt-2");
  header.add("tokenizer.ggml.add_bos_token", false);
  header.add("tokenizer.ggml.tokens", tokens);
  header.add("tokenizer.ggml.token_type", kinds);
  header.add("tokenizer.ggml.merges", std::vector<std::string>());
  header.add("tokenizer.chat_template",
             "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}");
}

}  // namespace

Result<SyntheticFile> describe_synthetic(std::string_view name_and_type) {
  const size_t colon = name_and_type.find(':');
  const Shape* const shape = find_shape(name_and_type.substr(0, colon));
  const auto type = find_type(colon == std::string_view::npos ? "" : name_and_type.substr(colon + 1));
  if (shape == nullptr || !type) {
    const std::string_view unknown = shape == nullptr                  ? name_and_type.substr(0, colon)
                                     : colon == std::string_view::npos ? ""
                                                                       : name_and_type.substr(colon + 1);
    return Status{Code::kUsage, fmt::format("there is no synthetic model {}: {} {}; {}", gguf::in_quotes(name_and_type),
                                            unknown.empty() ? "it has no" : gguf::in_quotes(unknown) + " is no known",
                                            shape == nullptr ? "name" : "type", known())};
  }
  const std::string canonical = fmt::format("{}:{}", shape->name, lower(geometry(*type).name));
  GgufHeader header;
  header.set_alignment(kAlignment);
  header.add("general.architecture", shape->architecture);
  header.add("general.name", canonical + " (synthetic)");
  header.add("general.alignment", uint32_t(kAlignment));
  header.add("synthetic.model", canonical);
  header.add("synthetic.version", kGeneratorVersion);
  add_shape(*shape, header);
  add_tokenizer(*shape, header);

  SyntheticFile file;
  file.type = *type;
  std::string vectors;
  uint64_t offset = 0;
  for (const Tensor& tensor : all_tensors(*shape)) {
    const bool is_vector = !tensor.values.empty();
    const QuantType stored_as = is_vector ? QuantType::kF32 : *type;
    header.add_tensor_info(tensor.name, geometry(stored_as).gguf_id, tensor.dims, offset);
    const int64_t rows = is_vector ? 1 : int64_t(tensor.dims[1]);
    const int64_t n_bytes = rows * row_bytes(stored_as, int64_t(tensor.dims[0]));
    if (is_vector) {
      const auto bytes = std::as_bytes(std::span(tensor.values));
      vectors.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      pad_to(vectors, kAlignment);
    } else {
      file.largest_matrix_bytes = std::max(file.largest_matrix_bytes, n_bytes);
    }
    offset += (uint64_t(n_bytes) + kAlignment - 1) / kAlignment * kAlignment;
  }
  file.begin = header.bytes();
  file.total_bytes = int64_t(file.begin.size() + offset);
  file.begin += vectors;
  return file;
}

}  // namespace reform
