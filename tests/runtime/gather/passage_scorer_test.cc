#include "runtime/gather/passage_scorer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/plain_gather.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr EmbeddingLayout kLayout{.n_heads = 3, .head_dim = 7};  // 21 values, so rows are padded

std::vector<std::byte> random_rows(std::mt19937& rng, size_t n) {
  std::vector<std::byte> rows(n * size_t(kLayout.row_bytes()));
  for (std::byte& b : rows) b = std::byte(rng() % 255 + (rng() % 2 == 0 ? 1 : 0));
  for (size_t i = 0; i < n; ++i) {
    for (int64_t h = 0; h < kLayout.n_heads; ++h) {
      const float scale = float(rng() % 1000) / 1e5f;
      std::memcpy(rows.data() + int64_t(i) * kLayout.row_bytes() + kLayout.value_bytes() + h * 4, &scale, sizeof scale);
    }
  }
  return rows;
}

// All that a passage is, to be compared.
struct Seen {
  int64_t begin = 0, end = 0;
  std::vector<float> cosines;
  std::vector<float> shares;
  std::vector<std::byte> rows;

  bool operator==(const Seen&) const = default;
};

struct Text {
  std::vector<std::string> tokens = {"a", " a", "A", "b", " b", "c", "d", "e", "f", ".", " .", "\n", "\n\n"};
  std::unique_ptr<Tokenizer> tokenizer = sentencepiece_of(tokens);
  TokenTable table{*tokenizer};
  std::vector<int32_t> ids;
  std::vector<std::byte> rows;
  std::vector<int32_t> query_ids;
  std::vector<std::byte> query_rows;

  Text(std::mt19937& rng, size_t n_tokens, size_t n_query) {
    while (ids.size() < n_tokens) ids.push_back(int32_t(rng() % (rng() % 20 == 0 ? tokens.size() : 9)));
    while (query_ids.size() < n_query) query_ids.push_back(int32_t(rng() % tokens.size()));
    rows = random_rows(rng, n_tokens), query_rows = random_rows(rng, n_query);
  }

  std::vector<Seen> passages() const {
    std::vector<std::string> texts, query;
    for (const int32_t id : ids) texts.push_back(tokens[size_t(id)]);
    for (const int32_t id : query_ids) query.push_back(tokens[size_t(id)]);
    std::vector<Seen> all;
    int64_t begin = 0;
    const auto row_bytes = size_t(kLayout.row_bytes());
    for (const int64_t end : plain_cuts(texts)) {
      Seen& p = all.emplace_back();
      p.begin = begin, p.end = end;
      for (int64_t h = 0; h < kLayout.n_heads; ++h) {
        for (size_t t = 0; t < query_ids.size(); ++t) {
          double best = -INFINITY;
          for (int64_t i = begin; i < end; ++i) best = std::max(best, cosine(i, int64_t(t), h));
          p.cosines.push_back(float(best));
        }
      }
      p.shares = plain_shares(query, {texts.begin() + begin, texts.begin() + end});
      p.rows.assign(rows.begin() + ptrdiff_t(size_t(begin) * row_bytes),
                    rows.begin() + ptrdiff_t(size_t(end) * row_bytes));
      begin = end;
    }
    return all;
  }

 private:
  double cosine(int64_t i, int64_t t, int64_t h) const {
    float a = 0, b = 0;
    std::memcpy(&a, kLayout.scales(rows, i) + h * 4, 4), std::memcpy(&b, kLayout.scales(query_rows, t) + h * 4, 4);
    int64_t dot = 0;
    for (int64_t d = 0; d < kLayout.head_dim; ++d)
      dot +=
          kLayout.values(rows, i)[h * kLayout.head_dim + d] * kLayout.values(query_rows, t)[h * kLayout.head_dim + d];
    return double(a) * double(b) * double(dot);
  }
};

enum class Where { kHost, kFenced, kEmulatedCuda };

// With blocks of at most max_rows.
struct Bench {
  MemoryAccount account;
  ThreadPool pool{2};
  std::unique_ptr<Device> device;
  Buffer<std::byte> workspace;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Scorer> scorer;

  Bench(Where where, int64_t n_query, int64_t max_rows) {
    if (where == Where::kHost) device = make_cpu_device(Isa::kRef, pool, account);
    if (where == Where::kFenced) device = fenced_cpu(best_isa(), pool);
    if (where == Where::kEmulatedCuda) device = fenced_emulated_cuda();
    const OpLimits limits = Scorer::limits(kLayout, n_query);
    workspace =
        take(Buffer<std::byte>::create(device->account(), MemoryCategory::kWorkspace, device->workspace_bytes(limits)));
    ops = device->make_ops(limits, workspace.span());
    scorer =
        take(Scorer::create({*device, ops.get(), account}, kLayout, n_query, max_rows, PassageScorer::kMaxPassages));
  }

  template <class NextSize>
  std::vector<Seen> run(const Text& text, const NextSize& next_size) {
    std::vector<Seen> seen;
    REQUIRE(scorer->set_question(text.query_rows).ok());
    PassageScorer passages(*scorer, text.table, text.query_ids, [&](const PassageScorer::Passage& p) {
      seen.push_back({p.begin_token,
                      p.end_token,
                      {p.cosines.begin(), p.cosines.end()},
                      {p.shares.begin(), p.shares.end()},
                      {p.rows.begin(), p.rows.end()}});
    });
    const auto row_bytes = size_t(kLayout.row_bytes());
    for (size_t begin = 0; begin < text.ids.size();) {
      const size_t n = std::min(text.ids.size() - begin, size_t(next_size()));
      REQUIRE(passages
                  .add(std::span(text.ids).subspan(begin, n),
                       std::span(text.rows).subspan(begin * row_bytes, n * row_bytes))
                  .ok());
      begin += n;
    }
    REQUIRE(passages.end().ok());
    return seen;
  }
};

}  // namespace

TEST_CASE("passage scorer: each passage's cosines, words and rows, for any pieces", "[runtime][gather]") {
  std::mt19937 rng(31);
  for (const size_t n_tokens : {1, 23, 95, 96, 97, 500, 7000}) {
    const Text text(rng, n_tokens, 1 + rng() % 9);
    const std::vector<Seen> want = text.passages();
    const auto max_rows = int64_t(std::max<size_t>(n_tokens, 96));
    Bench bench(Where::kHost, int64_t(text.query_ids.size()), max_rows);
    CAPTURE(n_tokens);
    const auto whole = bench.run(text, [&] { return n_tokens; });
    REQUIRE(whole.size() == want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      CAPTURE(i);
      CHECK((whole[i].begin == want[i].begin && whole[i].end == want[i].end));
      CHECK(whole[i].shares == want[i].shares);
      CHECK(whole[i].cosines == want[i].cosines);  // the reference's, in double as well
      CHECK((whole[i].rows == want[i].rows));
    }
    // A block of 96 rows is the smallest that any passage fits.
    Bench small(Where::kHost, int64_t(text.query_ids.size()), 96);
    CHECK((small.run(text, [&] { return 1; }) == whole));
    CHECK((small.run(text, [&] { return 1 + rng() % 96; }) == whole));
    CHECK((bench.run(text, [&] { return 1 + rng() % n_tokens; }) == whole));
  }
}

TEST_CASE("passage scorer: the same on a device with memory of its own, and by CUDA's kernels",
          "[runtime][gather][device]") {
  std::mt19937 rng(37);
  const Text text(rng, 1500, 5);
  const auto want = Bench(Where::kHost, 5, 1500).run(text, [&] { return 300; });
  for (const Where where : {Where::kFenced, Where::kEmulatedCuda}) {
    CAPTURE(int(where));
    const auto got = Bench(where, 5, 1500).run(text, [&] { return 1 + rng() % 700; });
    REQUIRE(got.size() == want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      CHECK((got[i].begin == want[i].begin && got[i].end == want[i].end && got[i].shares == want[i].shares));
      for (size_t k = 0; k < want[i].cosines.size(); ++k)
        CHECK(got[i].cosines[k] == Approx(want[i].cosines[k]).epsilon(1e-6));
    }
  }
}
