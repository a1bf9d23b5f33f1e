#include <numeric>

#include "tests/kernels/attention_cases.h"
#include "tests/kernels/cuda/emulated.h"
#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

// More shapes for CUDA: few rows with split keys (up to 32 of a KV head) and more than few; groups of heads; windows
// smaller than a tile; head sizes whose rows are not whole pieces of 16 bytes.
const Shape kCudaShapes[] = {
    {1, 1, 7, 1, 16},
    {4, 333, 7, 1, 16, 0, 0, kHalves, kF32},
    {8, 641, 8, 2, 72, 0, 36},
    {9, 650, 4, 4, 80, 40},
    {2, 450, 28, 4, 96, 7},
    {6, 97, 4, 1, 256, 0, 0, kHalves, kF32},
    {5, 131, 2, 2, 20, 0, 4, kAdjacent},
    {33, 700, 2, 2, 64, 200},
    {40, 260, 8, 1, 128, 0, 64},
    {21, 21, 3, 3, 250, 0, 125, kAdjacent},
    {129, 140, 2, 1, 64, 3},
    {40, 700, 2, 1, 64},
    {40, 250, 2, 1, 64},
    {40, 1290, 1, 1, 64, 0, 32},
    {50, 400, 1, 1, 250},
    {100, 450, 1, 1, 128},
    {1, 300, 40, 1, 64},
};
std::vector<Shape> cuda_shapes() {
  std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
  shapes.insert(shapes.end(), std::begin(kCudaShapes), std::end(kCudaShapes));
  return shapes;
}

TEST_CASE("attention: the reference agrees with an example worked by hand", "[kernels][attention]") {
  // One head of two dimensions, two slots. The scale is ln 2, so that probabilities are powers of two.
  std::vector<float> k = {1, 0, 0, 2}, v = {8, 0, 0, 16}, q = {3, 2};
  AttentionArgs args;
  args.q = {q.data(), 1, 2};
  args.kv = {kF32, k.data(), v.data(), 1, 2, 2, 2};
  args.scale = float(M_LN2);
  std::vector<float> out(2), lse(1);
  const MatView<float> lse_view(lse.data(), 1, 1);
  make_reference_ops()->attention(args, {out.data(), 1, 2}, lse_view);
  // Logits of 3 and 4 as powers of two: weights 8 and 16 of 24.
  CHECK(compare(out, std::vector<float>{8.0f / 3, 32.0f / 3}, {0, 1e-6}));
  CHECK(compare(lse, std::vector<float>{float(std::log(24.0))}, {0, 1e-6}));

  std::vector<float> sums = {10, 20};
  make_reference_ops()->attention_column_sums(args, lse_view, std::vector<int32_t>{0}, std::vector<float>{3}, sums);
  CHECK(compare(sums, std::vector<float>{11, 22}, {0, 1e-6}));

  // The first slot counts twice: weights 16 and 16 of 32.
  std::vector<float> bias = {float(M_LN2)};
  args.slot_bias = {bias.data(), 1, 1};
  make_reference_ops()->attention(args, {out.data(), 1, 2}, lse_view);
  CHECK(compare(out, std::vector<float>{4, 8}, {0, 1e-6}));
  CHECK(compare(lse, std::vector<float>{float(std::log(32.0))}, {0, 1e-6}));
  make_reference_ops()->attention_column_sums(args, lse_view, std::vector<int32_t>{0}, std::vector<float>{4}, sums);
  CHECK(compare(sums, std::vector<float>{13, 24}, {0, 1e-6}));
  args.slot_bias = {};

  args.window = 1;
  make_reference_ops()->attention(args, {out.data(), 1, 2}, lse_view);
  CHECK(compare(out, std::vector<float>{0, 16}, {0, 0}));
}

TEST_CASE("attention: every isa agrees with ref on odd shapes", "[kernels][attention]") {
  const auto reference = make_reference_ops();
  uint32_t seed = 100;
  for (const Shape& shape : kShapes) {
    const Problem p(shape, ++seed);
    const Outcome want = attend(*reference, p, p.args);
    for (Isa isa : supported_isas()) {
      INFO(name(isa) << " seed " << seed << " tokens " << shape.n_tokens << " kv " << shape.kv_len << " dim "
                     << shape.head_dim);
      CpuUnderTest ops(isa, p.limits(), 2);
      const Outcome got = attend(*ops, p, p.args);
      CHECK(compare(got.out, want.out, output_tolerance(p, isa)));
      CHECK(compare(got.lse, want.lse, {p.logit_error(isa) + 1e-6, 1e-6}));
      CHECK(got.guards_hold);
    }
  }
}

// As output_tolerance(), with probabilities and values rounded to F16.
Tolerance half_output_tolerance(const Problem& p) {
  return {5.5 * (2 * p.half_logit_error() + 2 * 0x1p-11 + double(p.shape.kv_len) / 4 * 0x1p-24), 0};
}

const CudaOptions kByWarps{}, kByWarpgroups{.products = nullptr, .outside_writes = nullptr, .warpgroups = true};

void check_cuda_attention(const CudaOptions& options, bool (*is_wanted)(const Shape& shape)) {
  const auto reference = make_reference_ops();
  uint32_t seed = 100;
  for (const Shape& shape : cuda_shapes()) {
    const Problem p(shape, ++seed);
    if (!is_wanted(shape)) continue;
    INFO("seed " << seed << " tokens " << shape.n_tokens << " kv " << shape.kv_len << " dim " << shape.head_dim);
    const Outcome want = attend(*reference, p, p.args);
    const auto check = [&](Ops& ops) {
      const Outcome got = attend(ops, p, p.args);
      CHECK(compare(got.out, want.out, half_output_tolerance(p)));
      CHECK(compare(got.lse, want.lse, {p.half_logit_error() + 1e-6, 1e-6}));
      CHECK(got.guards_hold);
    };
    for_each_cuda(p.limits(), check, options);
  }
}

TEST_CASE("attention: cuda agrees with ref on odd shapes", "[kernels][attention][cuda]") {
  check_cuda_attention(kByWarps, [](const Shape&) { return true; });
}

TEST_CASE("attention: cuda's warpgroups agree with ref on odd shapes", "[kernels][attention][cuda]") {
  // Few rows are always a warp's products.
  check_cuda_attention(kByWarpgroups, [](const Shape& s) { return s.n_tokens * s.n_heads / s.n_kv_heads > 32; });
}

TEST_CASE("attention: the tolerance notices one slot too few, a wrong scale, a wrong rotation",
          "[kernels][attention]") {
  const auto reference = make_reference_ops();
  uint32_t seed = 200;
  for (const Shape& shape : kShapes) {
    // Where logits of hundreds give one slot all the weight, or there is only one slot, the error cannot show.
    if (shape.outlier_dims > 0 || shape.kv_len == 1 || shape.window == 1) continue;
    const Problem p(shape, ++seed);
    const Outcome want = attend(*reference, p, p.args);
    const Tolerance tol = output_tolerance(p, Isa::kAmx);  // the widest
    INFO("tokens " << shape.n_tokens << " kv " << shape.kv_len << " dim " << shape.head_dim);
    AttentionArgs planted = p.args;
    planted.window = shape.window > 0 ? shape.window - 1 : shape.kv_len - 1;
    if (shape.window < shape.kv_len) CHECK_FALSE(compare(attend(*reference, p, planted).out, want.out, tol));
    planted = p.args;
    planted.scale *= 1.01f;
    CHECK_FALSE(compare(attend(*reference, p, planted).out, want.out, tol));
    if (p.args.key_rope != nullptr) {
      Rope wrong = p.rope;
      wrong.pairing = shape.pairing == kHalves ? kAdjacent : kHalves;
      planted = p.args;
      planted.key_rope = &wrong;
      CHECK_FALSE(compare(attend(*reference, p, planted).out, want.out, tol));
    }
  }
}

TEST_CASE("attention: the same bits for any number of threads", "[kernels][attention]") {
  uint32_t seed = 300;
  for (const Shape& shape : kShapes) {
    const Problem p(shape, ++seed);
    for (Isa isa : supported_isas()) {
      INFO(name(isa) << " tokens " << shape.n_tokens << " kv " << shape.kv_len << " dim " << shape.head_dim);
      CpuUnderTest one(isa, p.limits(), 1);
      const Outcome want = attend(*one, p, p.args);
      for (int n_threads : {2, 3}) {
        CpuUnderTest ops(isa, p.limits(), n_threads);
        const Outcome got = attend(*ops, p, p.args);
        CHECK(same_bits(got.out, want.out));
        CHECK(same_bits(got.lse, want.lse));
      }
    }
  }
}

TEST_CASE("attention: a row has the same bits whichever rows share its block", "[kernels][attention]") {
  for (const Shape& shape : {Shape{193, 321, 4, 2, 80}, Shape{150, 150, 3, 1, 64, 70, 32, kHalves, kF32, 3}}) {
    const Problem p(shape, 12);
    for (Isa isa : supported_isas()) {
      CpuUnderTest ops(isa, p.limits(), 2);
      const Outcome want = attend(*ops, p, p.args);
      for (int64_t first : {1, 6, 16, 37, 90}) {  // the rows left are still more than a task's: the same way
        INFO(name(isa) << " dim " << shape.head_dim << " first " << first);
        AttentionArgs later = p.args;
        later.q = p.args.q.row_range(first, shape.n_tokens);
        Guarded out(shape.n_tokens - first, p.args.q.cols), lse(shape.n_heads, shape.n_tokens - first);
        ops->attention(later, out.view(), lse.view());
        CHECK(same_bits(out.dense(), std::span(want.out).subspan(size_t(first * p.args.q.cols))));
      }
    }
  }
}

// x with F16 or FP32 values rounded to BF16.
void round_to_bf16(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = bf16_to_f32(f32_to_bf16(x[i]));
}

TEST_CASE("attention: logits of hundreds are exact enough, and of plain BF16 they would not be",
          "[kernels][attention]") {
  const auto reference = make_reference_ops();
  Problem p({120, 300, 2, 1, 64, 0, 0, kHalves, kF32, 40}, 13);
  const Outcome want = attend(*reference, p, p.args);
  CHECK(*std::max_element(want.lse.begin(), want.lse.end()) > 200);
  for (Isa isa : supported_isas()) {
    INFO(name(isa));
    CpuUnderTest ops(isa, p.limits(), 2);
    const Outcome got = attend(*ops, p, p.args);
    CHECK(compare(got.out, want.out, output_tolerance(p, isa)));
    CHECK(compare(got.lse, want.lse, {p.logit_error(isa) + 1e-6, 1e-6}));
  }
  round_to_bf16(static_cast<float*>(p.args.kv.k), p.shape.kv_len * p.shape.head_dim);
  CHECK_FALSE(compare(attend(*reference, p, p.args).lse, want.lse, {p.logit_error(Isa::kAmx) + 1e-6, 1e-6}));
}

TEST_CASE("attention: a call's rows do not depend on the calls before it", "[kernels][attention]") {
  // Two ropes in turn, and a third that pushes one out: the kept tables must follow.
  for (Isa isa : supported_isas()) {
    const Problem p({130, 200, 2, 1, 64, 0, 32}, 7);
    CpuUnderTest ops(isa, p.limits(), 2);
    const auto reference = make_reference_ops();
    for (double base : {1e4, 1e6, 1e4, 5e5, 1e6}) {
      const std::vector<float> inv_freq = inverse_frequencies(32, base);
      const Rope rope = {kHalves, inv_freq, 1.0f};
      AttentionArgs args = p.args;
      args.key_rope = &rope;
      CHECK(compare(attend(*ops, p, args).out, attend(*reference, p, args).out, output_tolerance(p, isa)));
    }
  }
}

std::vector<float> column_sums(Ops& ops, const Problem& p, std::span<const float> lse, std::span<const int32_t> rows,
                               std::span<const float> weights) {
  std::vector<float> sums(size_t(p.shape.kv_len), 0.5f);  // sums are added to, not overwritten
  ops.attention_column_sums(p.args, {lse.data(), p.shape.n_heads, p.shape.n_tokens}, rows, weights, sums);
  return sums;
}

TEST_CASE("attention column sums: every isa agrees with ref, same bits for any number of threads",
          "[kernels][attention]") {
  const auto reference = make_reference_ops();
  uint32_t seed = 400;
  for (const Shape& shape : kShapes) {
    const Problem p(shape, ++seed);
    const Outcome attended = attend(*reference, p, p.args);
    for (int32_t every : {1, 5}) {
      std::vector<int32_t> rows;
      std::vector<float> weights;
      for (int64_t t = shape.n_tokens - 1; t >= 0; t -= every) rows.insert(rows.begin(), int32_t(t));
      for (size_t i = 0; i < rows.size(); ++i) weights.push_back(0.25f + float(i % 7));
      const std::vector<float> want = column_sums(*reference, p, attended.lse, rows, weights);
      // Every probability is off by its logit's error (and the lse's rounding), plus at most 2^-24 for each row and
      // head.
      const auto tolerance = [&](Isa isa) {
        return Tolerance{1e-6 * double(rows.size()), 2 * p.logit_error(isa) + 4e-6 + double(rows.size()) * 0x1p-24};
      };
      for (Isa isa : supported_isas()) {
        INFO(name(isa) << " every " << every << " tokens " << shape.n_tokens << " kv " << shape.kv_len);
        CpuUnderTest one(isa, p.limits(), 1);
        const std::vector<float> got = column_sums(*one, p, attended.lse, rows, weights);
        CHECK(compare(got, want, tolerance(isa)));
        for (int n_threads : {2, 3}) {
          CpuUnderTest ops(isa, p.limits(), n_threads);
          CHECK(same_bits(column_sums(*ops, p, attended.lse, rows, weights), got));
        }
      }
      weights.back() *= 1.5f;
      // Logits of hundreds have an error of percents by pairs of BF16: it hides one row's half.
      const Isa widest = shape.outlier_dims > 0 ? Isa::kPortable : Isa::kAmx;
      CHECK_FALSE(compare(column_sums(*reference, p, attended.lse, rows, weights), want, tolerance(widest)));
    }
  }
}

TEST_CASE("attention with biases: every isa agrees with ref, same bits for any number of threads",
          "[kernels][attention]") {
  const auto reference = make_reference_ops();
  Random random(77);
  uint32_t seed = 500;
  for (const Shape& shape : kShapes) {
    for (const int64_t n_rows : {int64_t{1}, shape.n_kv_heads}) {
      Problem p(shape, ++seed);
      Guarded bias(n_rows, 1 + random.below(shape.kv_len), random);
      for (int64_t r = 0; r < n_rows; ++r) {
        for (int64_t s = 0; s < bias.view().cols; ++s) {
          bias.view().row(r)[s] *= 3;
          p.largest_bias = std::max(p.largest_bias, std::abs(double(bias.view().row(r)[s])));
        }
      }
      p.args.slot_bias = bias.view();
      INFO("seed " << seed << " bias " << n_rows << " x " << bias.view().cols << " tokens " << shape.n_tokens << " kv "
                   << shape.kv_len << " dim " << shape.head_dim);
      const Outcome want = attend(*reference, p, p.args);
      std::vector<int32_t> rows(size_t(shape.n_tokens));
      std::iota(rows.begin(), rows.end(), 0);
      const std::vector<float> weights(rows.size(), 0.5f);
      const std::vector<float> want_sums = column_sums(*reference, p, want.lse, rows, weights);
      for (Isa isa : supported_isas()) {
        INFO(name(isa));
        const Tolerance of_sums = {1e-6 * double(rows.size()),
                                   2 * p.logit_error(isa) + 4e-6 + double(rows.size()) * 0x1p-24};
        CpuUnderTest one(isa, p.limits(), 1), two(isa, p.limits(), 2);
        const Outcome got = attend(*one, p, p.args), again = attend(*two, p, p.args);
        const std::vector<float> sums = column_sums(*one, p, want.lse, rows, weights);
        CHECK(compare(got.out, want.out, output_tolerance(p, isa)));
        CHECK(compare(got.lse, want.lse, {p.logit_error(isa) + 1e-6, 1e-6}));
        CHECK(compare(sums, want_sums, of_sums));
        CHECK((got.guards_hold && bias.guards_hold()));
        CHECK((same_bits(again.out, got.out) && same_bits(again.lse, got.lse)));
        CHECK(same_bits(column_sums(*two, p, want.lse, rows, weights), sums));
      }
      // Logits of hundreds hide a bias, a window may, and of one slot it does not matter.
      if (shape.outlier_dims > 0 || shape.kv_len == 1 || shape.window > 0) continue;
      p.args.slot_bias = {};
      CHECK_FALSE(compare(attend(*reference, p, p.args).out, want.out, output_tolerance(p, Isa::kAmx)));
    }
  }
}

TEST_CASE("attention column sums: cuda agrees with ref", "[kernels][attention][cuda]") {
  const auto reference = make_reference_ops();
  uint32_t seed = 400;
  for (const Shape& shape : cuda_shapes()) {
    const Problem p(shape, ++seed);
    if (shape.outlier_dims > 0) continue;  // a logit of hundreds rounded to F16 proves nothing
    const Outcome attended = attend(*reference, p, p.args);
    std::vector<int32_t> rows;
    std::vector<float> weights;
    for (int64_t t = (shape.n_tokens - 1) % 3; t < shape.n_tokens; t += 3) rows.push_back(int32_t(t));
    for (size_t i = 0; i < rows.size(); ++i) weights.push_back(0.25f + float(i % 7));
    const std::vector<float> want = column_sums(*reference, p, attended.lse, rows, weights);
    INFO("tokens " << shape.n_tokens << " kv " << shape.kv_len << " dim " << shape.head_dim);
    const Tolerance tol = {1e-6 * double(rows.size()), 2 * p.half_logit_error() + 4e-6};
    const auto check = [&](Ops& ops) { CHECK(compare(column_sums(ops, p, attended.lse, rows, weights), want, tol)); };
    for (const CudaOptions& options : {kByWarps, kByWarpgroups}) for_each_cuda(p.limits(), check, options);
  }
}

TEST_CASE("attention column sums: cuda takes any number of observers, in batches", "[kernels][attention][cuda]") {
  // More queries than a batch (2,048), the last tile of them not full, and a window that hides the first batch from
  // late slots.
  const auto reference = make_reference_ops();
  const Problem p({2100, 2130, 1, 1, 16, 90}, 8);
  const Outcome attended = attend(*reference, p, p.args);
  std::vector<int32_t> rows;
  std::vector<float> weights;
  for (int32_t t = 0; t < 2100; ++t) rows.push_back(t), weights.push_back(t % 5 == 0 ? 0.0f : 1.0f);
  const std::vector<float> want = column_sums(*reference, p, attended.lse, rows, weights);
  const Tolerance tol = {1e-6 * 90, 2 * p.half_logit_error() + 4e-6};
  EmulatedCuda ops(p.limits());
  CHECK(compare(column_sums(*ops, p, attended.lse, rows, weights), want, tol));
  CHECK(ops.guards_hold());
  weights.back() = 0;
  CHECK_FALSE(compare(column_sums(*ops, p, attended.lse, rows, weights), want, tol));
}

TEST_CASE("attention: cuda keeps what it made of known slots, and makes the others", "[kernels][attention][cuda]") {
  const auto reference = make_reference_ops();
  for (const Shape& shape : {Shape{70, 190, 4, 2, 64, 0, 32}, Shape{70, 190, 2, 1, 20, 0, 4, kAdjacent, kF32}}) {
    const Problem p(shape, 9);
    const Outcome want = attend(*reference, p, p.args);
    EmulatedCuda ops(p.limits());
    Guarded out(shape.n_tokens, p.args.q.cols), lse(shape.n_heads, shape.n_tokens);
    const auto attend_rows = [&](int64_t begin, int64_t end, int64_t known_slots) {
      AttentionArgs block = p.args;
      block.q = p.args.q.row_range(begin, end);
      block.kv.kv_len = shape.kv_len - shape.n_tokens + end;
      block.known_slots = known_slots;
      ops->attention(block, out.view().row_range(begin, end), lse.view().col_range(begin, end));
    };
    attend_rows(0, 23, 0);
    attend_rows(23, 70, shape.kv_len - 47);
    CHECK(compare(out.dense(), want.out, half_output_tolerance(p)));
    // The keys are overwritten: known ones must not be read again, unknown ones must be.
    const int64_t key_bytes = shape.kv_len * shape.head_dim * (shape.type == kF32 ? 4 : 2);
    std::memset(p.args.kv.k, 0xff, size_t(key_bytes));
    attend_rows(23, 70, shape.kv_len);
    CHECK(compare(out.dense(), want.out, half_output_tolerance(p)));
    attend_rows(23, 70, shape.kv_len - 1);
    CHECK_FALSE(compare(out.dense(), want.out, half_output_tolerance(p)));
  }
}

TEST_CASE("attention: cuda overwrites no tile before it has been read", "[kernels][attention][cuda]") {
  // In the other tests copies arrive as late as they may, here as early. Nothing may differ.
  for (const Shape& shape : {Shape{40, 330, 4, 2, 64}, Shape{3, 330, 4, 2, 64}, Shape{140, 200, 1, 1, 16},
                             Shape{70, 330, 2, 1, 128}, Shape{66, 200, 2, 1, 256}}) {
    const Problem p(shape, 10);
    std::vector<int32_t> rows(size_t(shape.n_tokens));
    std::iota(rows.begin(), rows.end(), 0);
    const std::vector<float> weights(rows.size(), 1.0f);
    std::vector<float> out[2], by_warpgroups[2], sums[2];
    for (const bool at_once : {false, true}) {
      cuda::emulated::copies_at_once = at_once;
      EmulatedCuda ops(p.limits());
      const Outcome attended = attend(*ops, p, p.args);
      out[at_once] = attended.out;
      EmulatedCuda warpgroups(p.limits(), kByWarpgroups);
      by_warpgroups[at_once] = attend(*warpgroups, p, p.args).out;
      const std::vector<float> more = column_sums(*warpgroups, p, attended.lse, rows, weights);
      by_warpgroups[at_once].insert(by_warpgroups[at_once].end(), more.begin(), more.end());
      sums[at_once] = column_sums(*ops, p, attended.lse, rows, weights);
    }
    cuda::emulated::copies_at_once = false;
    CHECK(same_bits(out[0], out[1]));
    CHECK(same_bits(by_warpgroups[0], by_warpgroups[1]));
    CHECK(same_bits(sums[0], sums[1]));
  }
}

}  // namespace
}  // namespace reform::test
