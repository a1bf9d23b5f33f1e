// The definition of the matrix product: exact weights, sums in double, one thread.
#include "kernels/cpu/matmul_paths.h"

namespace reform::cpu {

void matmul_reference(const MatmulCall& call) {
  constexpr int64_t kChunk = 256;  // a whole number of blocks of every type
  constexpr int64_t kTile = 64;    // tokens that share one dequantisation
  float weights[kChunk];
  for (int64_t r = 0; r < call.w.rows; ++r) {
    for (int64_t begin = 0; begin < call.x.rows; begin += kTile) {
      const int64_t n_tokens = std::min(kTile, call.x.rows - begin);
      double sums[kTile] = {};
      for (int64_t c = 0; c < call.w.cols; c += kChunk) {
        const int64_t n = std::min(kChunk, call.w.cols - c);
        dequantise(call.w.type, weight_at(call.w, r, c), n, weights);
        for (int64_t t = 0; t < n_tokens; ++t) {
          const float* x = call.x.row(begin + t) + c;
          for (int64_t i = 0; i < n; ++i) sums[t] += double(x[i]) * double(weights[i]);
        }
      }
      for (int64_t t = 0; t < n_tokens; ++t) {
        float& y = call.y.row(begin + t)[r];
        const double bias = call.bias.empty() ? 0.0 : double(call.bias[size_t(r)]);
        y = float(sums[t] + bias + (call.accumulate ? double(y) : 0.0));
      }
    }
  }
}

}  // namespace reform::cpu
