// The narrow copy of activations that products share: used while it is of the current values, and never after.
#include <catch2/catch.hpp>
#include <functional>

#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/kernels/matmul_cases.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

constexpr int64_t kCols = 96, kRows = 7;
OpLimits limits() { return {40, kCols, 50, 2, 2, 48}; }

// Activations in the middle of other memory that ops write, and products of them.
struct Bench {
  explicit Bench(int64_t tokens)
      : n_tokens(tokens), random(5), m(random_matrix(QuantType::kQ8_0, kRows, kCols, random)) {
    memory.resize(size_t(3 * n_tokens * kCols));
    for (float& v : memory) v = normal(random);
    for (int64_t c = 0; c < kCols; ++c) weight.push_back(normal(random));
  }
  MatView<float> part(int64_t i) { return {memory.data() + i * n_tokens * kCols, n_tokens, kCols}; }
  MatView<float> x() { return part(1); }
  std::vector<float> product(Ops& ops) {
    std::vector<float> y(size_t(n_tokens * kRows));
    ops.matmul(m.weight, x(), {}, false, {y.data(), n_tokens, kRows});
    return y;
  }
  std::vector<float> fresh() {
    EmulatedCuda ops(limits());
    return product(*ops);
  }

  const int64_t n_tokens;
  Random random;
  Matrix m;
  std::vector<float> memory, weight;
};

// Ops that write some of the activations, each in a different way.
using Write = std::function<void(Bench&, Ops&)>;
struct Writer {
  const char* name;
  Write write;
};
const Writer kWriters[] = {
    {"add", [](Bench& b, Ops& ops) { ops.add(b.x(), b.part(0)); }},
    {"add to the last row",
     [](Bench& b, Ops& ops) { ops.add(b.x().row_range(b.n_tokens - 1, b.n_tokens), b.part(0).row_range(0, 1)); }},
    {"norm", [](Bench& b, Ops& ops) { ops.rms_norm(b.part(0), b.weight, 1e-5f, b.x()); }},
    {"norm in place", [](Bench& b, Ops& ops) { ops.rms_norm(b.x(), b.weight, 1e-5f, b.x()); }},
    {"activation", [](Bench& b, Ops& ops) { ops.gated_activation(Activation::kSilu, b.x(), b.part(2)); }},
    {"product",
     [](Bench& b, Ops& ops) { ops.matmul(b.m.weight, b.part(0), {}, false, b.x().col_range(40, 40 + kRows)); }},
    {"embedding",
     [](Bench& b, Ops& ops) {
       const std::vector<int32_t> ids(size_t(b.n_tokens), 3);
       ops.embed(b.m.weight, ids, 2.0f, b.x());
     }},
    {"rope",
     [](Bench& b, Ops& ops) {
       const float inv_freq[] = {1.0f, 0.5f};
       ops.rope({Rope::Pairing::kHalves, inv_freq, 1.0f}, 3, 48, b.x());
     }},
    {"attention",
     [](Bench& b, Ops& ops) {
       AttentionArgs args;
       args.q = b.part(0);
       args.kv = {KvView::Type::kF32, b.part(2).data, b.part(2).data, 1, 48, b.n_tokens, b.n_tokens};
       ops.attention(args, b.x(), {});
     }},
    {"cache",
     [](Bench& b, Ops& ops) {
       ops.store_kv(b.part(0), b.part(0), 0, {KvView::Type::kF32, b.x().data, b.part(2).data, 2, 48, b.n_tokens, 0});
     }},
    {"scores",
     [](Bench& b, Ops& ops) {
       const int8_t values[] = {1, 2, 3};
       const float scales[] = {0.5f, 0.25f, 2.0f};
       ops.score({values, scales, 3, 1, 1}, {values + 2, scales + 1, 1, 1, 1}, {b.x().row(1), 3});
     }},
    {"best cosines",
     [](Bench& b, Ops& ops) {
       const int8_t values[] = {1, 2, 3};
       const float scales[] = {0.5f, 0.25f, 2.0f};
       const std::vector<int32_t> ends = {2, 3};
       ops.best_cosines({values, scales, 3, 1, 1}, {values + 2, scales + 1, 1, 1, 1}, ends, {b.x().row(1), 2});
     }},
    {"embedding rows",
     [](Bench& b, Ops& ops) {
       int8_t q[48];
       ops.normalise_quantise({b.part(0).data, 1, 48, kCols}, {}, {q, 1, 48}, {b.x().row(1) + 5, 1, 1});
     }},
};

TEST_CASE("cuda: what an op writes into activations is seen by the next product of them", "[kernels][matmul][cuda]") {
  for (int64_t n_tokens : {2, 11, 40}) {  // as planes, as BF16; attention by few rows, and by many
    for (const Writer& writer : kWriters) {
      Bench bench(n_tokens);
      int64_t outside_writes = 0;
      EmulatedCuda ops(limits(), {.outside_writes = &outside_writes});
      INFO(writer.name << ", tokens " << n_tokens);
      const std::vector<float> before = bench.product(*ops);
      REQUIRE(same_bits(before, bench.fresh()));
      writer.write(bench, *ops);
      const std::vector<float> after = bench.fresh();
      REQUIRE_FALSE(same_bits(before, after));
      REQUIRE(same_bits(bench.product(*ops), after));
      REQUIRE(same_bits(bench.product(*ops), after));
      REQUIRE(ops.guards_hold());
    }
  }
}

TEST_CASE("cuda: what is written from outside is seen once it is counted", "[kernels][matmul][cuda]") {
  for (int64_t n_tokens : {2, 11}) {
    Bench bench(n_tokens);
    int64_t outside_writes = 0;
    EmulatedCuda ops(limits(), {.outside_writes = &outside_writes}), forgetful(limits());
    const std::vector<float> before = bench.product(*ops);
    REQUIRE(same_bits(bench.product(*forgetful), before));
    bench.x().row(1)[17] += 3.0f;
    CHECK(same_bits(bench.product(*ops), before));  // the copy is used: without this the test above proves nothing
    CHECK(same_bits(bench.product(*forgetful), bench.fresh()));
    ++outside_writes;
    CHECK(same_bits(bench.product(*ops), bench.fresh()));
  }
}

TEST_CASE("cuda: other rows, columns or strides of the same memory are other activations", "[kernels][matmul][cuda]") {
  Bench bench(12);
  int64_t outside_writes = 0;
  EmulatedCuda ops(limits(), {.outside_writes = &outside_writes});
  bench.product(*ops);
  const MatView<float> whole = bench.x();
  for (const MatView<float>& x :
       {whole.row_range(1, 12), whole.row_range(0, 11), whole.row_range(0, 3),
        MatView<float>(whole.data, 6, kCols, 2 * kCols), MatView<float>(whole.data, 12, kCols, kCols - 1)}) {
    std::vector<float> got(size_t(x.rows * kRows)), want = got;
    ops->matmul(bench.m.weight, x, {}, false, {got.data(), x.rows, kRows});
    EmulatedCuda other(limits());
    other->matmul(bench.m.weight, x, {}, false, {want.data(), x.rows, kRows});
    REQUIRE(same_bits(got, want));
  }
}

}  // namespace
}  // namespace reform::test
