// Any bytes as a model: refused with a message, or one whose every weight lies in the file and has the shape it claims.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/try.h"
#include "kernels/ops.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model.h"

namespace {

using namespace reform;

volatile uint64_t sink;  // so that the compiler keeps the reads below

void touch(std::span<const std::byte> bytes) {
  uint64_t sum = 0;
  for (const std::byte b : bytes) sum += uint64_t(b);
  sink = sum;
}

void touch(const Weight& w, int64_t rows, int64_t cols) {
  CHECK(w.data != nullptr && w.rows == rows && w.cols == cols);
  touch({static_cast<const std::byte*>(w.data), size_t(rows * row_bytes(w.type, cols))});
}

void touch(std::span<const float> v, int64_t n) {
  CHECK(v.empty() || int64_t(v.size()) == n);
  touch(std::as_bytes(v));
}

void touch_layer(const ModelShape& s, const LayerWeights& w) {
  const int64_t q_dim = s.n_heads * s.head_dim, kv_dim = s.n_kv_heads * s.head_dim;
  touch(w.q, q_dim, s.d_model), touch(w.k, kv_dim, s.d_model), touch(w.v, kv_dim, s.d_model);
  touch(w.o, s.d_model, q_dim);
  touch(w.gate, s.d_ff, s.d_model), touch(w.up, s.d_ff, s.d_model), touch(w.down, s.d_model, s.d_ff);
  touch(w.attn_norm, s.d_model), touch(w.ffn_norm, s.d_model);
  touch(w.attn_post_norm, s.d_model), touch(w.ffn_post_norm, s.d_model);
  touch(w.q_norm, s.head_dim), touch(w.k_norm, s.head_dim);
  touch(w.q_bias, q_dim), touch(w.k_bias, kv_dim), touch(w.v_bias, kv_dim), touch(w.o_bias, s.d_model);
}

void check_shape(const ModelShape& s) {
  CHECK(s.n_layers > 0 && s.d_model > 0 && s.d_ff > 0 && s.n_vocab > 0 && s.head_dim > 0 && s.n_kv_heads > 0);
  CHECK(s.n_heads % s.n_kv_heads == 0);
  CHECK(int64_t(s.inv_freq.size()) <= s.head_dim / 2 && int64_t(s.local_inv_freq.size()) <= s.head_dim / 2);
  CHECK(int64_t(s.is_local.size()) == s.n_layers);
  CHECK(std::isfinite(s.attention_scale) && std::isfinite(s.norm_eps) && std::isfinite(s.rope_magnitude));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto gguf = Gguf::parse(std::as_bytes(std::span(data, size)), "fuzz.gguf");
  if (!gguf.ok()) return 0;  // fuzz_gguf tests this
  const auto created = Model::create(*gguf.value());
  if (!created.ok()) {
    CHECK(created.status().code == Code::kBadModel && created.status().message.starts_with("fuzz.gguf: "));
    return 0;
  }
  const Model& model = *created.value();
  const ModelShape& s = model.shape();
  check_shape(s);
  for (int64_t i = 0; i < s.n_layers; ++i) touch_layer(s, model.layer(i));
  touch(model.token_embedding(), s.n_vocab, s.d_model), touch(model.output(), s.n_vocab, s.d_model);
  touch(model.output_norm(), s.d_model);
  return 0;
}
