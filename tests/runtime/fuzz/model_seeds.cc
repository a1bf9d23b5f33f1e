// Writes the model fuzz target's first inputs: the smallest model of every architecture, with its optional parts.
#include <cstdio>
#include <string>
#include <vector>

#include "tests/support/gguf_writer.h"

using namespace reform;

namespace {

constexpr int64_t kModel = 12, kFf = 10, kVocab = 5, kHeads = 3, kKvHeads = 1, kHeadDim = 4;

void add_zeros(GgufWriter& w, const std::string& name, const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  w.add_tensor_f32(name, shape, std::vector<float>(size_t(n)));
}

void add_metadata(GgufWriter& w, const std::string& arch) {
  const std::string p = arch + ".";
  w.add("general.alignment", uint32_t{8});
  w.set_alignment(8);
  w.add("general.architecture", arch);
  w.add(p + "block_count", uint32_t{1}), w.add(p + "context_length", uint32_t{64});
  w.add(p + "embedding_length", uint32_t{kModel}), w.add(p + "feed_forward_length", uint32_t{kFf});
  w.add(p + "attention.head_count", uint32_t{kHeads}), w.add(p + "attention.head_count_kv", uint32_t{kKvHeads});
  w.add(p + "attention.key_length", uint32_t{kHeadDim}), w.add(p + "attention.value_length", uint32_t{kHeadDim});
  w.add(p + "attention.layer_norm_rms_epsilon", 1e-6f), w.add(p + "rope.freq_base", 10000.0f);
  if (arch == "gemma3") w.add(p + "attention.sliding_window", uint32_t{16});
}

GgufWriter tiny_model(const std::string& arch) {
  GgufWriter w;
  add_metadata(w, arch);
  add_zeros(w, "token_embd.weight", {kModel, kVocab}), add_zeros(w, "output_norm.weight", {kModel});
  const std::string p = "blk.0.";
  add_zeros(w, p + "attn_norm.weight", {kModel}), add_zeros(w, p + "ffn_norm.weight", {kModel});
  add_zeros(w, p + "attn_q.weight", {kModel, kHeads * kHeadDim});
  add_zeros(w, p + "attn_k.weight", {kModel, kKvHeads * kHeadDim});
  add_zeros(w, p + "attn_v.weight", {kModel, kKvHeads * kHeadDim});
  add_zeros(w, p + "attn_output.weight", {kHeads * kHeadDim, kModel});
  add_zeros(w, p + "ffn_gate.weight", {kModel, kFf}), add_zeros(w, p + "ffn_up.weight", {kModel, kFf});
  add_zeros(w, p + "ffn_down.weight", {kFf, kModel});
  if (arch == "llama") {
    add_zeros(w, "output.weight", {kModel, kVocab});
    w.add_tensor_f32("rope_freqs.weight", {kHeadDim / 2}, std::vector<float>{1, 8});
  }
  if (arch == "qwen2") {
    add_zeros(w, p + "attn_q.bias", {kHeads * kHeadDim});
    add_zeros(w, p + "attn_k.bias", {kKvHeads * kHeadDim}), add_zeros(w, p + "attn_v.bias", {kKvHeads * kHeadDim});
  }
  if (arch == "qwen3" || arch == "gemma3") {
    add_zeros(w, p + "attn_q_norm.weight", {kHeadDim}), add_zeros(w, p + "attn_k_norm.weight", {kHeadDim});
  }
  if (arch == "gemma3") {
    add_zeros(w, p + "post_attention_norm.weight", {kModel}), add_zeros(w, p + "post_ffw_norm.weight", {kModel});
  }
  return w;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  for (const char* arch : {"llama", "qwen2", "qwen3", "gemma3"}) {
    tiny_model(arch).write_file(std::string(argv[1]) + "/seed-" + arch);
  }
}
