#include "runtime/heads/search_work.h"

#include "runtime/heads/feature_pass.h"

namespace reform {
namespace {

// Each second. On a Xeon with AVX-512 VNNI, one core ran Qwen2.5-Coder-1.5B Q4_K_M at 160 GFLOP/s and compared at 160
// GOP/s during `reform heads`: 22.3 ms of CPU time for each token of text, of which perf gave a fifth to the
// comparison.
constexpr double kRunFlops = 300e9, kCompareOps = 300e9;

// Multiplications and additions for each token of text. The last layer stops at its projections.
double flops_per_token(const ModelShape& s, int64_t last_layer) {
  const double q = double(s.n_heads * s.head_dim), kv = double(s.n_kv_heads * s.head_dim);
  const double d_model = double(s.d_model), d_ff = double(s.d_ff);
  const double states = 2 * d_model * (q + 2 * kv), rest = 2 * d_model * (q + 3 * d_ff);
  const double attention = 4 * q * double(FeaturePass::section_tokens(s)) / 2;  // half a section, on average
  return double(last_layer) * (states + rest + attention) + states;
}

// For each pair of a text's and a question's token: the dot products of all heads.
double ops_per_pair(const ModelShape& s, int64_t last_layer) {
  return 2 * double((last_layer + 1) * (s.n_heads + 2 * s.n_kv_heads) * s.head_dim);
}

}  // namespace

double search_seconds(const ModelShape& shape, int64_t last_layer, const SearchText& all, int64_t n_samples) {
  const double share = double(n_samples) / double(all.samples.size()), text = share * double(all.ids.size());
  double asked = 0;
  for (const SampleQuestion& question : all.questions) asked += share * double(question.ids.size());
  const double running = (text + kQuestionTokenCost * asked) * flops_per_token(shape, last_layer) / kRunFlops;
  const double comparing = text * asked * ops_per_pair(shape, last_layer) / kCompareOps;
  return (running + comparing) / kReadingShare;
}

}  // namespace reform
