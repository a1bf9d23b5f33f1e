#include "runtime/model/model.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>

#include "tests/runtime/support/model_support.h"
#include "tests/support/gguf_writer.h"

namespace reform::test {
namespace {

// A change that breaks a tiny model's file.
struct Edit {
  std::set<std::string> drop;                                                  // keys and tensors left out
  std::function<void(GgufWriter&)> add;                                        // what is added instead
  std::function<void(std::string& name, std::vector<int64_t>& shape)> tensor;  // changes a tensor's description
};

Status load_edited(const std::string& tiny, const Edit& edit) {
  const auto opened = Gguf::open(tiny_path(tiny));
  REQUIRE(opened.ok());
  const Gguf& gguf = *opened.value();
  GgufWriter writer;
  for (const Gguf::RawEntry& entry : gguf.raw_entries()) {
    if (edit.drop.contains(std::string(entry.key))) continue;
    uint32_t kind = 0;
    std::memcpy(&kind, entry.raw.data(), sizeof(kind));
    writer.add_raw(std::string(entry.key), kind,
                   {reinterpret_cast<const char*>(entry.raw.data()) + sizeof(kind), entry.raw.size() - sizeof(kind)});
  }
  for (const GgufTensor& tensor : gguf.tensors()) {
    if (edit.drop.contains(tensor.name)) continue;
    std::string name = tensor.name;
    std::vector<int64_t> shape = tensor.shape;
    if (edit.tensor) edit.tensor(name, shape);
    writer.add_tensor(name, tensor.type, shape, tensor.data);
  }
  if (edit.add) edit.add(writer);
  const GgufWriter::Image image = writer.image();
  const auto parsed = Gguf::parse(image, "edited");
  INFO(parsed.status().message);
  REQUIRE(parsed.ok());
  return Model::create(*parsed.value()).status();
}

// Replaces `key` by `value`, or adds it.
template <class T>
Edit with(const std::string& key, T value) {
  return {{key}, [key, value](GgufWriter& w) { w.add(key, value); }, {}};
}
Edit without(const std::string& name) { return {{name}, {}, {}}; }
Edit reshaped(const std::string& tensor, std::vector<int64_t> shape) {
  return {{}, {}, [=](std::string& name, std::vector<int64_t>& s) {
            if (name == tensor) s = shape;
          }};
}
Edit extra_tensor(const std::string& name, int64_t n) {
  return {{}, [=](GgufWriter& w) { w.add_tensor_f32(name, {n}, std::vector<float>(size_t(n), 0.5f)); }, {}};
}

TEST_CASE("model: the tiny models' shapes are read as written", "[runtime][model_load]") {
  struct Want {
    const char* name;
    int64_t n_layers, d_model, d_ff, n_heads, n_kv_heads, head_dim, window;
    std::vector<bool> is_local;
  };
  const Want wants[] = {
      {"llama3", 3, 48, 96, 3, 1, 16, 0, {0, 0, 0}},    {"llama2_linear", 2, 60, 88, 5, 5, 12, 0, {0, 0}},
      {"mistral_nemo", 2, 64, 96, 6, 2, 16, 0, {0, 0}}, {"mistral_window", 2, 32, 72, 1, 1, 32, 17, {1, 1}},
      {"qwen2", 3, 64, 96, 4, 2, 16, 0, {0, 0, 0}},     {"qwen3", 2, 56, 64, 7, 1, 20, 0, {0, 0}},
      {"gemma3", 3, 48, 68, 3, 1, 32, 7, {1, 0, 1}},
  };
  for (const Want& want : wants) {
    INFO(want.name);
    const LoadedModel m(tiny_path(want.name), Isa::kRef, 4, 4);
    const ModelShape& s = m.shape();
    CHECK((s.n_layers == want.n_layers && s.d_model == want.d_model && s.d_ff == want.d_ff));
    CHECK((s.n_heads == want.n_heads && s.n_kv_heads == want.n_kv_heads && s.head_dim == want.head_dim));
    CHECK((s.window == want.window && s.is_local == want.is_local));
    CHECK((s.n_vocab == 299 && s.trained_window_tokens == 1024));
    CHECK(int64_t(s.inv_freq.size()) == s.head_dim / 2);
    CHECK(s.attention_scale == Approx(1 / std::sqrt(double(s.head_dim))));
    const LayerWeights& layer = m.model->layer(0);
    CHECK((layer.q.rows == s.n_heads * s.head_dim && layer.q.cols == s.d_model));
    CHECK((layer.down.rows == s.d_model && layer.down.cols == s.d_ff));
  }
}

TEST_CASE("model: RoPE frequencies are stretched by what the file says", "[runtime][model_load]") {
  const LoadedModel linear(tiny_path("llama2_linear"), Isa::kRef, 4, 4);
  CHECK(linear.shape().inv_freq[1] == Approx(std::pow(10000.0, -2.0 / 12) / 4));
  const LoadedModel llama3(tiny_path("llama3"), Isa::kRef, 4, 4);
  CHECK(llama3.shape().inv_freq[0] == 1.0f);
  CHECK(llama3.shape().inv_freq[7] == Approx(std::pow(500000.0, -14.0 / 16) / 8));
  const LoadedModel gemma3(tiny_path("gemma3"), Isa::kRef, 4, 4);
  CHECK(gemma3.shape().inv_freq[1] == Approx(std::pow(1e6, -2.0 / 32) / 8));
  CHECK(gemma3.shape().local_inv_freq[1] == Approx(std::pow(1e4, -2.0 / 32)));
}

struct BadFile {
  const char* tiny;
  Edit edit;
  std::vector<std::string> says;  // what the message must name
};

void check_refused(const std::vector<BadFile>& files) {
  for (const BadFile& bad : files) {
    const Status status = load_edited(bad.tiny, bad.edit);
    INFO(bad.tiny << ", expected a refusal that says " << bad.says[0] << "; got: " << status.message);
    CHECK(status.code == Code::kBadModel);
    for (const std::string& text : bad.says) CHECK(status.message.find(text) != std::string::npos);
    CHECK(status.message.find("edited") == 0);
  }
}

TEST_CASE("model: an unedited copy loads", "[runtime][model_load]") {
  for (const std::string& name : tiny_names()) {
    const Status status = load_edited(name, {});
    INFO(status.message);
    CHECK(status.ok());
  }
}

TEST_CASE("model: impossible hyperparameters are refused by name", "[runtime][model_load]") {
  check_refused({
      {"llama3",
       with("general.architecture", "mamba"),
       {"unknown architecture 'mamba'", "llama, qwen2, qwen3, gemma3"}},
      {"llama3", without("general.architecture"), {"general.architecture is missing"}},
      {"llama3", with("llama.block_count", uint32_t{0}), {"llama.block_count", "[1, 1024]", "found 0"}},
      {"llama3", with("llama.block_count", uint64_t{1} << 60), {"llama.block_count"}},
      {"llama3", with("llama.block_count", -1), {"llama.block_count", "found -1"}},
      {"llama3", with("llama.block_count", "three"), {"llama.block_count"}},
      {"llama3", without("llama.block_count"), {"llama.block_count", "found none"}},
      {"llama3", with("llama.attention.head_count", uint32_t{0}), {"llama.attention.head_count", "found 0"}},
      {"llama3", with("llama.attention.head_count", uint32_t{5}), {"5 heads do not divide the width 48"}},
      {"llama3", with("llama.attention.head_count_kv", uint32_t{2}), {"2 KV heads do not divide 3"}},
      {"llama3", with("llama.attention.head_count_kv", uint32_t{0}), {"llama.attention.head_count_kv", "found 0"}},
      {"llama3", with("llama.attention.head_count_kv", std::vector<int32_t>{1, 3, 1}), {"differs between layers"}},
      {"llama3", with("llama.attention.head_count_kv", std::vector<int32_t>{}), {"head_count_kv", "found none"}},
      {"llama3", with("llama.attention.key_length", uint32_t{15}), {"llama.attention.key_length", "even", "15"}},
      {"llama3",
       with("llama.attention.value_length", uint32_t{8}),
       {"value_length", "8 differs from the key length 16"}},
      {"llama3", with("llama.embedding_length", uint32_t{0}), {"llama.embedding_length"}},
      {"llama3", with("llama.feed_forward_length", uint64_t{1} << 62), {"llama.feed_forward_length"}},
      {"llama3", with("llama.context_length", uint32_t{0}), {"llama.context_length"}},
      {"llama3", with("llama.rope.dimension_count", uint32_t{18}), {"llama.rope.dimension_count", "[1, 16]"}},
      {"llama3", with("llama.rope.dimension_count", uint32_t{7}), {"7 is odd"}},
      {"llama3", with("llama.rope.freq_base", 0.0f), {"llama.rope.freq_base"}},
      {"llama3", with("llama.rope.freq_base", NAN), {"llama.rope.freq_base", "nan"}},
      {"llama3", without("llama.attention.layer_norm_rms_epsilon"), {"layer_norm_rms_epsilon", "missing"}},
      {"llama3", with("llama.attention.layer_norm_rms_epsilon", INFINITY), {"layer_norm_rms_epsilon"}},
      {"gemma3", without("gemma3.attention.sliding_window"), {"gemma3.attention.sliding_window"}},
      {"gemma3",
       with("gemma3.attention.sliding_window_pattern", std::vector<bool>{true, false}),
       {"sliding_window_pattern", "3 layers", "found 2"}},
  });
}

TEST_CASE("model: what the forward does not do is refused, not ignored", "[runtime][model_load]") {
  check_refused({
      {"llama3", with("llama.expert_count", uint32_t{8}), {"llama.expert_count", "mixture-of-experts"}},
      {"llama3", with("llama.rope.scaling.type", "yarn"), {"llama.rope.scaling.type", "'yarn'", "linear"}},
      {"llama3", with("llama.logit_scale", 0.5f), {"llama.logit_scale"}},
      {"llama3", with("llama.attention.causal", false), {"attention.causal"}},
      {"gemma3", with("gemma3.final_logit_softcapping", 30.0f), {"final_logit_softcapping"}},
      {"qwen2", extra_tensor("blk.0.attn_q_norm.weight", 16), {"blk.0.attn_q_norm.weight", "qwen2"}},
      {"llama3", extra_tensor("blk.1.ffn_up.bias", 96), {"blk.1.ffn_up.bias"}},
      {"llama3", with("llama.block_count", uint32_t{2}), {"blk.2."}},
  });
  CHECK(load_edited("llama3", with("llama.expert_count", uint32_t{0})).ok());
  CHECK(load_edited("llama3", with("llama.logit_scale", 1.0f)).ok());
  CHECK(load_edited("llama3", with("llama.rope.scaling.type", "none")).ok());
  CHECK(load_edited("llama3", extra_tensor("blk.0.attn_rot_embd", 8)).ok());
}

TEST_CASE("model: a missing or misshapen tensor is refused by name and shape", "[runtime][model_load]") {
  check_refused({
      {"llama3", with("llama.block_count", uint32_t{4}), {"blk.3.attn_norm.weight is missing", "[48]"}},
      {"llama3", without("token_embd.weight"), {"token_embd.weight is missing"}},
      {"llama3", without("output_norm.weight"), {"output_norm.weight is missing"}},
      {"qwen2", without("blk.1.attn_k.bias"), {"blk.1.attn_k.bias is missing", "[32]"}},
      {"qwen3", without("blk.0.attn_q_norm.weight"), {"blk.0.attn_q_norm.weight is missing", "[20]"}},
      {"gemma3", without("blk.2.post_ffw_norm.weight"), {"blk.2.post_ffw_norm.weight is missing"}},
      {"llama3", reshaped("blk.0.attn_q.weight", {96, 24}), {"blk.0.attn_q.weight", "[48, 48]", "[96, 24]"}},
      {"llama3", reshaped("blk.0.attn_norm.weight", {24, 2}), {"blk.0.attn_norm.weight", "[48]", "[24, 2]"}},
      {"llama3", reshaped("rope_freqs.weight", {4, 2}), {"rope_freqs.weight", "[8]", "[4, 2]"}},
      {"llama3", reshaped("token_embd.weight", {299, 48}), {"token_embd.weight", "[48, 48]", "[299, 48]"}},
      {"llama3", with("llama.embedding_length", uint32_t{96}), {"token_embd.weight", "[96, 299]", "[48, 299]"}},
      {"llama3", with("tokenizer.ggml.tokens", std::vector<std::string>(300, "x")), {"300 tokens", "299"}},
  });
  Edit zero_factor = without("rope_freqs.weight");
  zero_factor.add = [](GgufWriter& w) { w.add_tensor_f32("rope_freqs.weight", {8}, std::vector<float>(8, 0.0f)); };
  check_refused({{"llama3", zero_factor, {"rope_freqs.weight", "positive"}}});
}

TEST_CASE("model: norms that are not FP32 are converted", "[runtime][model_load]") {
  const std::vector<uint16_t> halves(48, 0x3e00);  // 1.5
  Edit edit = without("output_norm.weight");
  edit.add = [&](GgufWriter& w) {
    w.add_tensor("output_norm.weight", QuantType::kF16, {48}, std::as_bytes(std::span(halves)));
  };
  CHECK(load_edited("llama3", edit).ok());
}

}  // namespace
}  // namespace reform::test
