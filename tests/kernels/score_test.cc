#include <algorithm>
#include <numeric>

#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/kernels/op_fixture.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

const OpLimits kLimits = {64, 64, 64, 4, 2, 128};

TEST_CASE("normalise_quantise: the reference agrees with an example worked by hand", "[kernels][score]") {
  const std::vector<float> x = {4, 5, 1, 1, 1, 1}, centre = {1, 1};  // minus the centre: (3, 4), norm 5
  std::vector<int8_t> q(2);
  float scale = 0;
  make_reference_ops()->normalise_quantise({x.data(), 1, 2}, centre, {q.data(), 1, 2}, {&scale, 1, 1});
  CHECK(q == std::vector<int8_t>{95, 127});  // 127 * 3 / 4 = 95.25
  CHECK(scale == Approx(0.8 / 127));
  make_reference_ops()->normalise_quantise({x.data() + 2, 1, 2}, centre, {q.data(), 1, 2}, {&scale, 1, 1});
  CHECK(q == std::vector<int8_t>{0, 0});
  CHECK(scale == 0.0f);
}

// Calls fn(ops) for every isa with each number of threads, and for emulated CUDA. A failure says which.
template <class Fn>
void for_each_ops(std::initializer_list<int> thread_counts, Fn fn) {
  for (Isa isa : supported_isas()) {
    for (int n_threads : thread_counts) {
      INFO(name(isa) << " threads " << n_threads);
      CpuUnderTest ops(isa, kLimits, n_threads);
      fn(*ops);
    }
  }
  for_each_cuda(kLimits, fn);
}

TEST_CASE("normalise_quantise: every isa agrees with ref within one step", "[kernels][score]") {
  for (int64_t head_dim : {1, 7, 8, 15, 16, 33, 64, 80, 256}) {
    for (bool centred : {false, true}) {
      Random random(static_cast<uint32_t>(head_dim));
      const int64_t n_tokens = 40, q_stride = 3 * head_dim + 1, scale_stride = 3;
      Guarded x(n_tokens, head_dim, random);
      const std::vector<float> centre = centred ? random.normals(head_dim) : std::vector<float>();
      for (int64_t d = 0; d < head_dim; ++d) {
        x.view().row(1)[d] = centred ? centre[size_t(d)] : 0.0f;  // a zero row
        x.view().row(2)[d] *= 1e-30f;                             // whose squares underflow
        x.view().row(3)[d] *= 1e30f;                              // whose squares overflow
        x.view().row(4)[d] *= 1e-42f;                             // subnormal
      }
      x.view().row(5)[0] = NAN;
      x.view().row(6)[0] = INFINITY;
      const auto run = [&](Ops& ops, std::vector<int8_t>& q, std::vector<float>& scales) {
        q.assign(size_t(n_tokens * q_stride), int8_t(-99));
        scales.assign(size_t(n_tokens * scale_stride), -99.0f);
        ops.normalise_quantise(x.view(), centre, {q.data() + 1, n_tokens, head_dim, q_stride},
                               {scales.data() + 1, n_tokens, 1, scale_stride});
      };
      std::vector<int8_t> want_q, got_q;
      std::vector<float> want_scales, got_scales;
      const auto reference = make_reference_ops();
      run(*reference, want_q, want_scales);
      CHECK(want_scales[size_t(1 + 1 * scale_stride)] == 0.0f);
      CHECK(want_scales[size_t(1 + 5 * scale_stride)] == 0.0f);
      CHECK(want_scales[size_t(1 + 6 * scale_stride)] == 0.0f);
      for_each_ops({2}, [&](Ops& ops) {
        INFO("dim " << head_dim << " centred " << centred);
        run(ops, got_q, got_scales);
        CHECK(compare(got_scales, want_scales, {0, (double(head_dim) / 8 + 8) * 0x1p-24}));
        int64_t n_off = 0;
        bool close = true;
        for (size_t i = 0; i < want_q.size(); ++i) {
          close = close && std::abs(got_q[i] - want_q[i]) <= 1;
          n_off += got_q[i] != want_q[i];
        }
        CHECK(close);
        // Only a value within rounding of a half (and all of a subnormal row) may round the other way.
        CHECK(n_off <= 2);
      });
    }
  }
}

struct Rows {
  std::vector<int8_t> values;
  std::vector<float> scales;
  int64_t n_rows, n_heads, head_dim;

  Rows(int64_t rows, int64_t heads, int64_t dim, Random& random)
      : values(size_t(rows * heads * dim)), scales(size_t(rows * heads)), n_rows(rows), n_heads(heads), head_dim(dim) {
    for (int8_t& v : values) v = int8_t(random.below(255) - 127);
    for (float& s : scales) s = float(random.below(1000)) / 100'000.0f;
    // The extreme values, where sums of products are largest.
    std::fill_n(values.begin(), std::min<int64_t>(heads * dim, int64_t(values.size())), int8_t(-127));
  }
  EmbeddingRows view() const { return {values.data(), scales.data(), n_rows, n_heads, head_dim}; }
};

TEST_CASE("score: the reference agrees with an example worked by hand", "[kernels][score]") {
  // Two heads of two dimensions. Query 0: (1, 2 | 3, 4), query 1: (-1, 0 | 0, 1); scales 1 and 0.5 | 1 and 2.
  const std::vector<int8_t> stored = {10, 20, 30, 40}, query = {1, 2, 3, 4, -1, 0, 0, 1};
  const std::vector<float> stored_scales = {1, 0.5f}, query_scales = {1, 0.5f, 1, 2};
  std::vector<float> scores(1);
  // Query 0: (50 + 250 * 0.25) / 2 = 56.25; query 1: (-10 + 40) / 2 = 15.
  make_reference_ops()->score({stored.data(), stored_scales.data(), 1, 2, 2},
                              {query.data(), query_scales.data(), 2, 2, 2}, scores);
  CHECK(scores[0] == 56.25f);
}

TEST_CASE("score: every isa agrees with ref on odd shapes", "[kernels][score]") {
  struct Case {
    int64_t n_rows, n_query, n_heads, head_dim;
  };
  const Case cases[] = {{1, 1, 1, 1},    {3, 2, 3, 7},     {5, 15, 2, 64},  {17, 16, 4, 64},  {1027, 17, 1, 24},
                        {2100, 5, 2, 8}, {40, 33, 4, 128}, {9, 31, 5, 80},  {13, 50, 3, 256}, {6, 700, 2, 72},
                        {4, 3, 70, 66},  {8, 32, 1, 130},  {7, 47, 4, 1000}};
  Random random(8);
  for (const Case& c : cases) {
    const Rows stored(c.n_rows, c.n_heads, c.head_dim, random), query(c.n_query, c.n_heads, c.head_dim, random);
    std::vector<float> want(static_cast<size_t>(c.n_rows)), planted = want;
    make_reference_ops()->score(stored.view(), query.view(), want);
    // Integer sums are exact; n_heads terms of three roundings each, of magnitude scale^2 * 127^2 * head_dim at most.
    const Tolerance tol = {double(c.n_heads + 3) * 0x1p-24 * 1e-4 * 127 * 127 * double(c.head_dim), 0};
    for_each_ops({1, 3}, [&](Ops& ops) {
      INFO("rows " << c.n_rows << " queries " << c.n_query << " heads " << c.n_heads << " dim " << c.head_dim);
      std::vector<float> got(size_t(c.n_rows + 1), -77.0f);
      ops.score(stored.view(), query.view(), std::span(got).first(size_t(c.n_rows)));
      CHECK(got.back() == -77.0f);
      got.pop_back();
      CHECK(compare(got, want, tol));
    });
    Rows wrong = stored;
    for (int64_t r = 0; r < c.n_rows; ++r) {
      int8_t& last = wrong.values[size_t((r + 1) * c.n_heads * c.head_dim - 1)];
      last = last > 0 ? int8_t(-127) : int8_t(127);
    }
    make_reference_ops()->score(wrong.view(), query.view(), planted);
    CHECK_FALSE(compare(planted, want, tol));
  }
}

TEST_CASE("score: a maximum below zero stays below zero", "[kernels][score]") {
  const std::vector<int8_t> stored(64, int8_t(100)), query(64, int8_t(-100));
  const std::vector<float> one = {1.0f};
  for_each_ops({1}, [&](Ops& ops) {
    std::vector<float> scores(1);
    ops.score({stored.data(), one.data(), 1, 1, 64}, {query.data(), one.data(), 1, 1, 64}, scores);
    CHECK(scores[0] == -640'000.0f);
  });
}

std::vector<int32_t> ends_of(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> ends(lengths.size());
  std::partial_sum(lengths.begin(), lengths.end(), ends.begin());
  return ends;
}

// Guards stand before and after `best`.
std::vector<float> best_cosines(Ops& ops, const Rows& stored, const Rows& query, std::vector<int32_t> segment_ends) {
  const size_t n = segment_ends.size() * size_t(stored.n_heads * query.n_rows);
  std::vector<float> guarded(n + 2, -77.0f);
  ops.best_cosines(stored.view(), query.view(), segment_ends, std::span(guarded).subspan(1, n));
  CHECK(guarded.front() == -77.0f);
  CHECK(guarded.back() == -77.0f);
  return {guarded.begin() + 1, guarded.end() - 1};
}

TEST_CASE("best_cosines: the reference agrees with an example worked by hand", "[kernels][score]") {
  // Two heads of two dimensions. The rows: scales 1 and 0.5 | 2 and 1 | 1 and 4. The queries are score's.
  const std::vector<int8_t> stored = {10, 20, 30, 40, 1, 1, -1, -1, -3, 0, 0, -5}, query = {1, 2, 3, 4, -1, 0, 0, 1};
  const std::vector<float> stored_scales = {1, 0.5f, 2, 1, 1, 4}, query_scales = {1, 0.5f, 1, 2};
  const std::vector<int32_t> ends = {2, 3};
  std::vector<float> best(8);
  make_reference_ops()->best_cosines({stored.data(), stored_scales.data(), 3, 2, 2},
                                     {query.data(), query_scales.data(), 2, 2, 2}, ends, best);
  // Head 0: rows 0 and 1 have 50 and 6 with query 0, -10 and -2 with query 1. Head 1: 62.5 and -3.5; 40 and -2.
  CHECK(best == std::vector<float>{50, -2, 62.5f, 40, -3, 3, -40, -40});
}

TEST_CASE("best_cosines: every isa agrees with ref on odd shapes", "[kernels][score]") {
  struct Case {
    int64_t n_query, n_heads, head_dim;
    std::vector<int32_t> lengths;
  };
  std::vector<Case> cases = {{1100, 8, 128, {2, 9, 1}}, {3, 70, 66, {5, 4, 3, 2}}, {18, 2, 1000, {7, 8, 9}}};
  for (int64_t n_query : {1, 15, 16, 17, 33}) {
    for (int64_t n_heads : {1, 3, 8}) {
      for (int64_t head_dim : {7, 64, 80, 128}) cases.push_back({n_query, n_heads, head_dim, {1, 31, 2, 97, 32}});
    }
  }
  Random random(9);
  for (const Case& c : cases) {
    const std::vector<int32_t> ends = ends_of(c.lengths);
    const Rows query(c.n_query, c.n_heads, c.head_dim, random);
    Rows stored(ends.back(), c.n_heads, c.head_dim, random);
    std::fill_n(stored.values.end() - c.n_heads * c.head_dim, c.n_heads * c.head_dim, int8_t(0));  // a zero row
    std::fill_n(stored.scales.end() - c.n_heads, c.n_heads, 0.0f);
    const auto reference = make_reference_ops();
    const std::vector<float> want = best_cosines(*reference, stored, query, ends);
    // Integer sums are exact; three roundings of scale^2 * 127^2 * head_dim at most.
    const Tolerance tol = {3 * 0x1p-24 * 1e-4 * 127 * 127 * double(c.head_dim), 0};
    INFO("queries " << c.n_query << " heads " << c.n_heads << " dim " << c.head_dim);
    for_each_ops({1, 3}, [&](Ops& ops) { CHECK(compare(best_cosines(ops, stored, query, ends), want, tol)); });
    for (int64_t end = c.head_dim; end <= int64_t(stored.values.size()); end += c.head_dim) {
      int8_t& last = stored.values[size_t(end - 1)];
      last = last > 0 ? int8_t(-127) : int8_t(127);
    }
    CHECK_FALSE(compare(best_cosines(*reference, stored, query, ends), want, tol));
  }
}

TEST_CASE("best_cosines: many segments are the same on any number of threads", "[kernels][score]") {
  Random random(10);
  std::vector<int32_t> lengths;
  for (int64_t i = 0; i < 200; ++i) lengths.push_back(int32_t(1 + random.below(i % 50 == 7 ? 900 : 40)));
  const std::vector<int32_t> ends = ends_of(lengths);
  const Rows stored(ends.back(), 2, 24, random), query(19, 2, 24, random);
  const Tolerance tol = {3 * 0x1p-24 * 1e-4 * 127 * 127 * 24, 0};
  const std::vector<float> want = best_cosines(*make_reference_ops(), stored, query, ends);
  for (Isa isa : supported_isas()) {
    INFO(name(isa));
    CpuUnderTest one(isa, kLimits, 1);
    const std::vector<float> of_one = best_cosines(*one, stored, query, ends);
    CHECK(compare(of_one, want, tol));
    for (int n_threads : {2, 3, 7}) {
      CpuUnderTest ops(isa, kLimits, n_threads);
      CHECK(best_cosines(*ops, stored, query, ends) == of_one);
    }
  }
  std::vector<int32_t> wrong = ends;
  for (size_t s = 0; s + 1 < wrong.size(); ++s) ++wrong[s];
  CHECK_FALSE(compare(best_cosines(*make_reference_ops(), stored, query, wrong), want, tol));
}

TEST_CASE("best_cosines: a maximum below zero stays below zero, and a zero row is zero", "[kernels][score]") {
  std::vector<int8_t> stored(size_t(4 * 64), int8_t(100)), query(64, int8_t(-100));
  const std::vector<float> stored_scales = {1, 1, 0, 0}, one = {1.0f};
  std::fill(stored.begin() + 2 * 64, stored.end(), int8_t(0));
  const std::vector<int32_t> ends = {1, 3, 4};
  for_each_ops({1}, [&](Ops& ops) {
    std::vector<float> best(3, NAN);
    ops.best_cosines({stored.data(), stored_scales.data(), 4, 1, 64}, {query.data(), one.data(), 1, 1, 64}, ends, best);
    CHECK(best == std::vector<float>{-640'000.0f, 0, 0});
    ops.best_cosines({nullptr, nullptr, 0, 1, 64}, {query.data(), one.data(), 1, 1, 64}, {}, {});
  });
}

}  // namespace
}  // namespace reform::test
