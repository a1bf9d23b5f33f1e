#include <algorithm>
#include <cstring>

#include "base/float16.h"
#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/kernels/op_fixture.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

const OpLimits kLimits = {300, 64, 64, 4, 2, 128};

// Columns around whole vectors of 4, 8 and 16 lanes. Where there are few, enough rows for several tasks.
struct Size {
  int64_t rows, cols;
};
const Size kSizes[] = {{1, 1},  {2, 7},  {3, 8},  {1, 15},  {5, 16},   {2, 17},
                       {3, 31}, {1, 33}, {7, 64}, {2, 129}, {300, 257}};

// Calls fn(ops) for every isa with one thread and with three. A failure says which.
template <class Fn>
void for_each_ops(Fn fn) {
  for (Isa isa : supported_isas()) {
    for (int n_threads : {1, 3}) {
      INFO(name(isa) << " threads " << n_threads);
      CpuUnderTest ops(isa, kLimits, n_threads);
      fn(*ops);
    }
  }
  for_each_cuda(kLimits, fn);
}

TEST_CASE("rms_norm: the reference agrees with an example worked by hand", "[kernels]") {
  const std::vector<float> x = {1, -1, 7, 7}, weight = {1, 2, 3, 4};  // mean square 25
  std::vector<float> out(4);
  make_reference_ops()->rms_norm({x.data(), 1, 4}, weight, 11.0f, {out.data(), 1, 4});  // 1 / sqrt(36)
  CHECK(compare(out, std::vector<float>{1 / 6.0f, -2 / 6.0f, 21 / 6.0f, 28 / 6.0f}, {0, 1e-7}));
}

TEST_CASE("rms_norm: every isa agrees with ref, in place too", "[kernels]") {
  Random random(1);
  for (const Size& size : kSizes) {
    Guarded x(size.rows, size.cols, random);
    x.view().row(0)[0] = 300.0f;  // an outlier, as residual streams have
    const std::vector<float> weight = random.normals(size.cols);
    Guarded want(size.rows, size.cols);
    make_reference_ops()->rms_norm(x.view(), weight, 1e-6f, want.view());
    for_each_ops([&](Ops& ops) {
      INFO("size " << size.rows << " x " << size.cols);
      Guarded out(size.rows, size.cols);
      ops.rms_norm(x.view(), weight, 1e-6f, out.view());
      // A sum of cols squares in FP32 over at least 4 lanes, halved by the root; then four roundings.
      const Tolerance tol = {0, (double(size.cols) / 8 + 4) * 0x1p-24};
      CHECK(compare(out.dense(), want.dense(), tol));
      CHECK(out.guards_hold());
      Guarded in_place = x;
      ops.rms_norm(in_place.view(), weight, 1e-6f, in_place.view());
      CHECK(same_bits(in_place.dense(), out.dense()));
      CHECK(in_place.guards_hold());
      ops.rms_norm(x.view(), weight, 0.01f * 90000.0f / float(size.cols), out.view());  // a wrong eps shows
      CHECK_FALSE(compare(out.dense(), want.dense(), tol));
    });
  }
}

TEST_CASE("gated_activation: the reference agrees with values worked by hand", "[kernels]") {
  std::vector<float> gate = {1, 1};
  const std::vector<float> up = {2, -4};
  make_reference_ops()->gated_activation(Activation::kSilu, {gate.data(), 1, 2}, {up.data(), 1, 2});
  CHECK(compare(gate, std::vector<float>{1.46211716f, -2.92423431f}, {0, 1e-7}));  // sigmoid(1) = 0.731058579
  gate = {1, -1};
  make_reference_ops()->gated_activation(Activation::kGeluTanh, {gate.data(), 1, 2}, {up.data(), 1, 2});
  CHECK(compare(gate, std::vector<float>{1.68238398f, 0.63523204f}, {0, 1e-6}));  // 0.841191990, -0.158808009
}

TEST_CASE("gated_activation: every isa agrees with ref, at the ends of the range too", "[kernels]") {
  Random random(2);
  for (Activation act : {Activation::kSilu, Activation::kGeluTanh}) {
    for (const Size& size : kSizes) {
      Guarded gate(size.rows, size.cols, random), up(size.rows, size.cols, random);
      const float ends[] = {-1e30f, -1000, -90, -88, -20, -5, -1e-8f, 0, 1e-8f, 5, 20, 88, 90, 1000, 1e12f};
      for (int64_t c = 0; c < std::min<int64_t>(size.cols, std::size(ends)); ++c) gate.view().row(0)[c] = ends[c];
      Guarded want = gate;
      make_reference_ops()->gated_activation(act, want.view(), up.view());
      for_each_ops([&](Ops& ops) {
        INFO("size " << size.rows << " x " << size.cols);
        Guarded got = gate;
        ops.gated_activation(act, got.view(), up.view());
        // e^-x: where the value is tiny, the error is all the exponent's rounding, |x| log2(e) 2^-24 (|x| <= 88 there).
        CHECK(compare(got.dense(), want.dense(), {1e-32, 2e-5}));
        CHECK(got.guards_hold());
      });
      // Where the activation is near one, there are only a few roundings.
      gate = Guarded(size.rows, size.cols, random);
      want = gate;
      make_reference_ops()->gated_activation(act, want.view(), up.view());
      for_each_ops([&](Ops& ops) {
        Guarded got = gate;
        ops.gated_activation(act, got.view(), up.view());
        CHECK(compare(got.dense(), want.dense(), {1e-9, 3e-6}));
        got = gate;
        ops.gated_activation(act == Activation::kSilu ? Activation::kGeluTanh : Activation::kSilu, got.view(),
                             up.view());
        if (size.cols > 4) CHECK_FALSE(compare(got.dense(), want.dense(), {1e-9, 3e-6}));
      });
    }
  }
}

TEST_CASE("add: every isa is exact", "[kernels]") {
  Random random(3);
  for (const Size& size : kSizes) {
    const Guarded x(size.rows, size.cols, random);
    Guarded y(size.rows, size.cols, random), want = x;
    make_reference_ops()->add(want.view(), y.view());
    for_each_ops([&](Ops& ops) {
      Guarded got = x;
      ops.add(got.view(), y.view());
      CHECK(same_bits(got.dense(), want.dense()));
      CHECK(got.guards_hold());
    });
  }
}

TEST_CASE("rope: the reference agrees with quarter turns worked by hand", "[kernels]") {
  const std::vector<float> inv_freq = {float(M_PI / 2), 0.0f};  // a quarter turn per slot; none
  std::vector<float> x = {1, 2, 3, 4, 5};                       // the fifth dimension is past the rotary ones
  const MatView<float> view(x.data(), 1, 5);
  make_reference_ops()->rope({Rope::Pairing::kHalves, inv_freq, 1.0f}, 1, 5, view);
  CHECK(compare(x, std::vector<float>{-3, 2, 1, 4, 5}, {1e-6, 0}));
  x = {1, 2, 3, 4, 5};
  make_reference_ops()->rope({Rope::Pairing::kAdjacent, inv_freq, 2.0f}, 1, 5, view);
  CHECK(compare(x, std::vector<float>{-4, 2, 6, 8, 5}, {1e-6, 0}));
}

TEST_CASE("rope: every isa agrees with ref, at slots up to a million", "[kernels]") {
  struct Case {
    int64_t rows, n_heads, head_dim, n_pairs, first_slot;
  };
  const Case cases[] = {{1, 3, 64, 32, 0},       {1, 2, 80, 40, 999'999},    {3, 1, 8, 3, 77},
                        {17, 2, 96, 24, 4'000},  {63, 2, 24, 12, 0},         {64, 1, 128, 64, 31},
                        {65, 3, 10, 5, 999'900}, {200, 2, 256, 128, 123'457}};
  Random random(4);
  for (const Case& c : cases) {
    const std::vector<float> inv_freq = inverse_frequencies(c.n_pairs, 1e6);
    const Guarded x(c.rows, c.n_heads * c.head_dim, random);
    for (auto pairing : {Rope::Pairing::kAdjacent, Rope::Pairing::kHalves}) {
      const Rope rope = {pairing, inv_freq, 0.75f};
      Guarded want = x;
      make_reference_ops()->rope(rope, c.first_slot, c.head_dim, want.view());
      for (Isa isa : supported_isas()) {
        for (int n_threads : {1, 3}) {
          INFO(name(isa) << " rows " << c.rows << " dim " << c.head_dim << " slot " << c.first_slot);
          CpuUnderTest ops(isa, {300, 64, 64, 3, 1, c.head_dim}, n_threads);
          Guarded got = x;
          ops->rope(rope, c.first_slot, c.head_dim, got.view());
          // Two products of variates below 5.5 with a rounded cosine, and their sum: 6 roundings. An angle in FP32
          // would be off by 0.03 at slot 999,999.
          CHECK(compare(got.dense(), want.dense(), {5.5 * 6 * 0x1p-24, 0}));
          CHECK(got.guards_hold());
          got = x;
          ops->rope(rope, c.first_slot + 1, c.head_dim, got.view());
          CHECK_FALSE(compare(got.dense(), want.dense(), {5.5 * 6 * 0x1p-24, 0}));
        }
      }
    }
  }
}

TEST_CASE("embed: every isa agrees with ref for a quantised table", "[kernels]") {
  Random random(5);
  const int64_t n_vocab = 11, d_model = 96;
  std::vector<uint8_t> table(size_t(n_vocab * row_bytes(QuantType::kQ8_0, d_model)));
  for (size_t i = 0; i < table.size(); ++i) table[i] = uint8_t(i % 34 == 1 ? 0x20 : i % 34 == 0 ? i % 251 : i * 37);
  const Weight weight = {QuantType::kQ8_0, n_vocab, d_model, table.data()};
  std::vector<int32_t> ids(300);
  for (int32_t& id : ids) id = int32_t(random.below(n_vocab));
  for (float scale : {1.0f, 25.3f}) {
    Guarded want(300, d_model);
    make_reference_ops()->embed(weight, ids, scale, want.view());
    for_each_ops([&](Ops& ops) {
      Guarded got(300, d_model);
      ops.embed(weight, ids, scale, got.view());
      CHECK(same_bits(got.dense(), want.dense()));
      CHECK(got.guards_hold());
    });
  }
}

TEST_CASE("store_kv: F16 saturates, F32 is exact, other slots are left alone", "[kernels]") {
  for (auto type : {KvView::Type::kF16, KvView::Type::kF32}) {
    for (int64_t head_dim : {5, 16, 80}) {
      const int64_t n_tokens = 67, n_kv_heads = 2, first_slot = 3;
      Random random(6);
      Guarded k(n_tokens, n_kv_heads * head_dim, random), v(n_tokens, n_kv_heads * head_dim, random);
      const float odd[] = {65504, 65520, -1e9f, INFINITY, -INFINITY};
      for (int64_t c = 0; c < 5; ++c) k.view().row(1)[c] = odd[c];
      v.view().row(0)[0] = 1e-7f, v.view().row(0)[1] = -3e-8f;  // subnormal in F16
      Cache want(type, n_kv_heads, head_dim, 90);
      make_reference_ops()->store_kv(k.view(), v.view(), first_slot, want.view());
      if (type == KvView::Type::kF16) {
        const uint16_t* row = static_cast<const uint16_t*>(want.view().k) + (first_slot + 1) * head_dim;
        CHECK(f16_to_f32(row[1]) == 65504.0f);
        CHECK(f16_to_f32(row[2]) == -65504.0f);
        CHECK(f16_to_f32(row[3]) == 65504.0f);
      }
      for_each_ops([&](Ops& ops) {
        INFO("dim " << head_dim);
        Cache got(type, n_kv_heads, head_dim, 90);
        ops.store_kv(k.view(), v.view(), first_slot, got.view());
        CHECK(got.all_bytes() == want.all_bytes());
      });
    }
  }
}

TEST_CASE("compact_kv: every isa moves what ref moves", "[kernels]") {
  const std::vector<std::vector<int32_t>> choices = {
      {}, {0}, {89}, {0, 1, 2}, {0, 2, 4, 5, 6, 40, 41, 80, 89}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};
  for (auto type : {KvView::Type::kF16, KvView::Type::kF32}) {
    for (const std::vector<int32_t>& keep : choices) {
      Random random(7);
      Cache before(type, 3, 24, 90);
      before.fill(random, 0);
      const auto compacted = [&](Ops& ops) {
        Cache cache(type, 3, 24, 90);
        Random same(7);
        cache.fill(same, 0);
        ops.compact_kv(cache.view(), keep);
        // Only the kept slots are defined afterwards.
        std::vector<std::byte> bytes;
        const int64_t slot_bytes = 24 * (type == KvView::Type::kF16 ? 2 : 4);
        for (const void* base : {cache.view().k, cache.view().v}) {
          for (int64_t h = 0; h < 3; ++h) {
            const auto* slots = static_cast<const std::byte*>(base) + h * cache.view().capacity * slot_bytes;
            bytes.insert(bytes.end(), slots, slots + int64_t(keep.size()) * slot_bytes);
          }
        }
        return bytes;
      };
      const auto reference = make_reference_ops();
      const std::vector<std::byte> want = compacted(*reference);
      for_each_ops([&](Ops& ops) { CHECK(compacted(ops) == want); });
      for (size_t to = 0; to < keep.size(); ++to) {  // the first head's first key element, by hand
        const int64_t slot_bytes = 24 * (type == KvView::Type::kF16 ? 2 : 4);
        CHECK(std::memcmp(want.data() + int64_t(to) * slot_bytes,
                          static_cast<const std::byte*>(before.view().k) + keep[to] * slot_bytes,
                          size_t(slot_bytes)) == 0);
      }
    }
  }
}

TEST_CASE("compact_kv: cuda moves thousands of slots through a staging buffer of hundreds", "[kernels][cuda]") {
  for (auto type : {KvView::Type::kF16, KvView::Type::kF32}) {
    for (int64_t head_dim : {7, 8}) {  // in pieces of 2 bytes, of 16
      Random random(11);
      std::vector<int32_t> keep;
      for (int32_t slot = 0; slot < 1500; ++slot) {
        if (slot < 4 || random.below(3) > 0) keep.push_back(slot);
      }
      const auto compacted = [&](Ops& ops) {
        Cache cache(type, 2, head_dim, 1500);
        Random same(12);
        cache.fill(same, 0);
        ops.compact_kv(cache.view(), keep);
        const int64_t slot_bytes = head_dim * (type == KvView::Type::kF16 ? 2 : 4);
        std::vector<std::byte> bytes;
        for (const void* base : {cache.view().k, cache.view().v}) {
          for (int64_t h = 0; h < 2; ++h) {
            const auto* slots = static_cast<const std::byte*>(base) + h * cache.view().capacity * slot_bytes;
            bytes.insert(bytes.end(), slots, slots + int64_t(keep.size()) * slot_bytes);
          }
        }
        return bytes;
      };
      const auto reference = make_reference_ops();
      const std::vector<std::byte> want = compacted(*reference);
      for_each_cuda({600, 64, 600, 2, 2, head_dim}, [&](Ops& ops) { CHECK(compacted(ops) == want); });
    }
  }
}

}  // namespace
}  // namespace reform::test
