// Slots of a cache that are merged.
#include <algorithm>
#include <cmath>

#include "base/float16.h"
#include "tests/kernels/op_fixture.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

struct Merged {
  std::vector<float> k, v, weights, bias;  // k, v [slots that are left, head_dim]
};

std::vector<float> widened(const KvView& kv, const void* base, int64_t n_slots) {
  std::vector<float> all;
  for (int64_t i = 0; i < n_slots * kv.head_dim; ++i) {
    all.push_back(kv.type == KvView::Type::kF32 ? static_cast<const float*>(base)[i]
                                                : f16_to_f32(static_cast<const uint16_t*>(base)[i]));
  }
  return all;
}

// On a copy of the cache, whose bytes past kv_len must stay.
Merged merge(Ops& ops, const Cache& cache, bool has_merged, const std::vector<int32_t>& singles,
             std::vector<float> weights) {
  const KvView& original = cache.view();
  const size_t bytes = size_t(original.capacity * original.head_dim * elem_bytes(original.type));
  const size_t used = size_t(original.kv_len * original.head_dim * elem_bytes(original.type));
  const auto* const k = static_cast<std::byte*>(original.k);
  const auto* const v = static_cast<std::byte*>(original.v);
  std::vector<std::byte> keys(k, k + bytes), values(v, v + bytes);
  KvView kv = original;
  kv.k = keys.data(), kv.v = values.data();
  Merged out;
  out.bias.resize(weights.size());
  ops.merge_kv(kv, has_merged, singles, weights, out.bias);
  CHECK(std::equal(keys.begin() + ptrdiff_t(used), keys.end(), k + used));
  CHECK(std::equal(values.begin() + ptrdiff_t(used), values.end(), v + used));
  const int64_t n_left = int64_t(weights.size() + singles.size());
  out.k = widened(kv, kv.k, n_left), out.v = widened(kv, kv.v, n_left), out.weights = std::move(weights);
  return out;
}

template <class Fn>
void for_each_isa(const OpLimits& limits, Fn fn) {
  for (const Isa isa : supported_isas()) {
    INFO(name(isa));
    CpuUnderTest one(isa, limits, 1), three(isa, limits, 3);
    fn(*one, *three);
  }
}

void fill(const Cache& cache, const std::vector<float>& k, const std::vector<float>& v) {
  std::ranges::copy(k, static_cast<float*>(cache.view().k));
  std::ranges::copy(v, static_cast<float*>(cache.view().v));
}

constexpr float kLn2 = 0.69314718f, kLn3 = 1.0986123f, kLn4 = 1.3862944f;

TEST_CASE("merge_kv: the reference and every isa agree with examples worked by hand", "[kernels]") {
  const auto check = [](const Cache& cache, bool has_merged, const std::vector<int32_t>& singles,
                        const std::vector<float>& weights, const Merged& want) {
    const auto check_ops = [&](Ops& ops) {
      const Merged got = merge(ops, cache, has_merged, singles, weights);
      CHECK(compare(got.k, want.k, {0, 1e-6}));
      CHECK(compare(got.v, want.v, {0, 1e-6}));
      CHECK(compare(got.weights, want.weights, {}));
      CHECK(compare(got.bias, want.bias, {0, 1e-6}));
    };
    check_ops(*make_reference_ops());
    for_each_isa({1, 64, 16, 1, 1, 2}, [&](Ops& one, Ops&) { check_ops(one); });
  };
  {
    // Runs: 0, 2 and 3; then 4 and 5. Slots 1 and 6 move up behind them.
    const Cache cache(KvView::Type::kF32, 1, 2, 7);
    fill(cache, {0, 0, 1, 10, 2, 20, 4, 40, 6, 60, 8, 80, 5, 50}, {3, 1, 7, 7, 6, 1, 9, 1, 2, 4, 4, 8, 5, 5});
    check(cache, false, {1, 6}, {0, 0}, {{2, 20, 7, 70, 1, 10, 5, 50}, {6, 1, 3, 6, 7, 7, 5, 5}, {3, 2}, {kLn3, kLn2}});
  }
  {
    // Slot 2 is more like slot 0, which stands for three tokens; slot 4 more like slot 1. Slot 3 stays.
    const Cache cache(KvView::Type::kF32, 1, 2, 5);
    fill(cache, {1, 0, 0, 1, 5, 4, 9, 9, -1, 1}, {8, 0, 2, 2, 0, 4, 6, 6, 4, 4});
    check(cache, true, {1}, {3, 1}, {{2, 1, -0.5f, 1, 9, 9}, {6, 1, 3, 3, 6, 6}, {4, 2}, {kLn4, kLn2}});
  }
  {
    // Equally like: the earlier.
    const Cache cache(KvView::Type::kF32, 1, 1, 4);
    fill(cache, {2, 2, 5, 0}, {1, 1, 3, 0});
    check(cache, true, {1}, {1, 1}, {{3.5f, 2, 0}, {2, 1, 0}, {2, 1}, {kLn2, 0}});
  }
}

TEST_CASE("merge_kv: every isa agrees with ref on odd shapes, same bits for any number of threads", "[kernels]") {
  Random random(31);
  struct Shape {
    int64_t kv_len, head_dim, n_merged;
    KvView::Type type;
  };
  const Shape shapes[] = {{2, 8, 1, KvView::Type::kF32},      {63, 24, 7, KvView::Type::kF16},
                          {64, 64, 32, KvView::Type::kF16},   {65, 10, 3, KvView::Type::kF32},
                          {201, 17, 65, KvView::Type::kF32},  {700, 128, 130, KvView::Type::kF16},
                          {1030, 250, 64, KvView::Type::kF16}};
  for (const Shape& shape : shapes) {
    Cache cache(shape.type, 1, shape.head_dim, shape.kv_len);
    cache.fill(random, 0);
    for (const bool has_merged : {false, true}) {
      for (const int64_t one_of : {1, 2, 9}) {  // slots that are dropped: all, every second, few
        CAPTURE(shape.kv_len, shape.head_dim, shape.n_merged, has_merged, one_of);
        const int64_t n_others = shape.kv_len - (has_merged ? shape.n_merged : 0);
        std::vector<int32_t> singles;
        for (int32_t s = 0; s < n_others; ++s)
          if (random.below(one_of) != 0) singles.push_back(s);
        const auto most = size_t(shape.kv_len - shape.n_merged);
        if (singles.size() > most) singles.erase(singles.begin(), singles.end() - ptrdiff_t(most));
        std::vector<float> weights(size_t(shape.n_merged));
        for (float& w : weights) w = has_merged ? float(1 + random.below(500)) : 0;
        const Merged want = merge(*make_reference_ops(), cache, has_merged, singles, weights);
        double n_tokens = double(singles.size());
        for (const float w : want.weights) n_tokens += double(w);
        double n_before = double(n_others);
        for (const float w : weights) n_before += double(w);
        CHECK(n_tokens == n_before);
        // Sums of up to kv_len FP32 terms below 6 and a weight; their mean, rounded once to F16.
        const Tolerance tol = {6 * double(shape.kv_len) * 0x1p-24, shape.type == KvView::Type::kF16 ? 0x1p-10 : 1e-5};
        for_each_isa({1, 64, shape.kv_len + 3, 1, 1, shape.head_dim}, [&](Ops& one, Ops& three) {
          const Merged got = merge(one, cache, has_merged, singles, weights);
          CHECK(compare(got.k, want.k, tol));
          CHECK(compare(got.v, want.v, tol));
          CHECK(compare(got.weights, want.weights, {}));
          CHECK(compare(got.bias, want.bias, {1e-6, 1e-6}));
          const Merged again = merge(three, cache, has_merged, singles, weights);
          CHECK((same_bits(again.k, got.k) && same_bits(again.v, got.v)));
        });
      }
    }
  }
}

}  // namespace
}  // namespace reform::test
