// Pages as chunks leave them, and against a plain form of their methods (scripts/make_pages_golden.py).
#include "runtime/compress/pages.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/float16.h"
#include "runtime/gather/page_scorer.h"
#include "runtime/gather/passage_spans.h"
#include "tests/runtime/support/method_bench.h"
#include "tests/runtime/support/model_support.h"

using namespace reform;
using namespace reform::test;

namespace {

struct StoredPage {
  TokenRange tokens;
  std::vector<std::byte> states, key;
};

// What a store would keep of the text's pages.
std::vector<StoredPage> read_text(MethodBench& bench, Compressor& c, const std::vector<int32_t>& text) {
  const PageLayout layout = PageLayout::of(bench.model->shape());
  std::vector<StoredPage> pages;
  const auto chunk = size_t(bench.options.chunk_tokens);
  const int64_t page_tokens = bench.options.page_tokens;
  for (size_t begin = 0; begin < text.size(); begin += chunk) {
    const auto n = int64_t(std::min(chunk, text.size() - begin));
    REQUIRE(c.run_chunk({}, std::span(text).subspan(begin, size_t(n)), {}, nullptr).ok());
    const auto [states, keys] = c.pages();
    REQUIRE(int64_t(states.size()) == n * layout.states().row_bytes());
    for (int64_t at = 0, page = 0; at < n; at += page_tokens, ++page) {
      const int64_t end = std::min(n, at + page_tokens), row_bytes = layout.states().row_bytes();
      const auto own = states.subspan(size_t(at * row_bytes), size_t((end - at) * row_bytes));
      const auto key = keys.subspan(size_t(page * layout.key_bytes()), size_t(layout.key_bytes()));
      pages.push_back(
          {{int64_t(begin) + at, int64_t(begin) + end}, {own.begin(), own.end()}, {key.begin(), key.end()}});
    }
  }
  return pages;
}

PageScorer::Scan scan_of(const std::vector<StoredPage>& pages) {
  return [&pages](const std::function<Status(TokenRange, std::span<const std::byte>)>& fn) -> Status {
    for (const StoredPage& page : pages) {
      if (Status status = fn(page.tokens, page.key); !status.ok()) return status;
    }
    return {};
  };
}

// Made with Ops of its own.
struct Scoring {
  MethodBench& bench;
  Buffer<std::byte> workspace;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<PageScorer> scorer;

  Scoring(MethodBench& b, int64_t n_question_tokens) : bench(b) {
    const OpLimits limits = PageScorer::limits(bench.model->shape(), n_question_tokens);
    workspace = take(
        Buffer<std::byte>::create(bench.account, MemoryCategory::kWorkspace, bench.device->workspace_bytes(limits)));
    ops = bench.device->make_ops(limits, workspace.span());
    scorer =
        take(PageScorer::create({*bench.device, ops.get(), bench.account}, bench.model->shape(), n_question_tokens));
  }
};

// The chosen pages' numbers, ascending: the first, the last, and the best that the budget has room for.
std::vector<size_t> choose(const std::vector<StoredPage>& pages, const std::vector<double>& scores, int64_t budget) {
  std::vector<ChosenPassage> chosen;
  std::vector<ScoredPassage> others;
  for (size_t p = 0; p < pages.size(); ++p) {
    ScoredPassage passage{0, pages[p].tokens.begin, pages[p].tokens.end, scores[p], {}};
    if (p == 0 || p + 1 == pages.size()) {
      chosen.push_back({passage, 0});
    } else {
      others.push_back(passage);
    }
  }
  std::ranges::sort(others, [](const auto& a, const auto& b) { return a.score > b.score; });
  choose_passages({&others, 1}, 0, budget, chosen);
  std::vector<size_t> numbers;
  for (const ChosenPassage& c : chosen) {
    const auto page =
        std::ranges::find_if(pages, [&](const auto& p) { return p.tokens.begin == c.passage.begin_token; });
    numbers.push_back(size_t(page - pages.begin()));
  }
  std::ranges::sort(numbers);
  return numbers;
}

void put(LoadedModel& model, const StoredPage& page, KvCache& cache) {
  const PageLayout layout = PageLayout::of(model.shape());
  const int64_t n = page.tokens.n_tokens(), slot = cache.kv_len();
  std::vector<float> k(size_t(n * layout.layer_width())), v(k.size());
  for (int64_t layer = 0; layer < layout.n_layers; ++layer) {
    const MatView<float> keys(k.data(), n, layout.layer_width()), values(v.data(), n, layout.layer_width());
    REQUIRE(read_page_layer(layout, page.states, layer, keys, values).ok());
    model.ops->store_kv(keys, values, slot, cache.layer(layer, slot + n));
  }
  cache.set_kv_len(slot + n);
}

void with_pages(MethodBench& bench) { bench.options.page_tokens = 32, bench.options.full_depth = true; }

}  // namespace

TEST_CASE("pages: a chunk leaves its keys and values, near by a half step, and their means", "[runtime][compress]") {
  for (const std::string policy : {"recent", "none"}) {
    CAPTURE(policy);
    MethodBench bench(read_golden("pages_tiny_qwen2.bin"), policy, Isa::kPortable);
    with_pages(bench);
    bench.options.bos = 1, bench.options.overlap_tokens = 7;  // neither is in a page
    bench.options.chunk_tokens = 45;
    const auto c = bench.compressor();
    const PageLayout layout = PageLayout::of(bench.model->shape());
    const std::vector<int32_t> ids = {5, 9, 2, 200, 31, 7, 7, 90, 14, 3, 250, 66, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    REQUIRE(c->run_chunk({}, ids, {}, nullptr).ok());
    const auto [states, keys] = c->pages();
    // The same tokens as in the first chunk of a plain forward.
    LoadedModel model(tiny_path("qwen2"), Isa::kPortable, 64, 64);
    KvCache cache = model.make_cache(KvView::Type::kF32);
    std::vector<int32_t> with_bos = ids;
    with_bos.insert(with_bos.begin(), 1);
    model.run(with_bos, cache, 64, /*rotated_keys=*/false);
    const auto n = int64_t(ids.size());
    std::vector<float> k(size_t(n * layout.layer_width())), v(k.size()), key(size_t(layout.key_bytes()) / 2);
    REQUIRE(int64_t(keys.size()) == layout.key_bytes());
    REQUIRE(read_page_key(keys, key).ok());
    double worst_state = 0, worst_key = 0;
    for (int64_t layer = 0; layer < layout.n_layers; ++layer) {
      REQUIRE(read_page_layer(layout, states, layer, {k.data(), n, layout.layer_width()},
                              {v.data(), n, layout.layer_width()})
                  .ok());
      const KvView view = cache.layer(layer, n + 1);
      for (int64_t column = 0; column < layout.layer_width(); ++column) {
        const int64_t g = column / layout.head_dim, i = column % layout.head_dim;
        double sum = 0;
        for (int64_t t = 0; t < n; ++t) {
          const int64_t at = (g * view.capacity + t + 1) * layout.head_dim + i;
          const double want_k = static_cast<const float*>(view.k)[at], want_v = static_cast<const float*>(view.v)[at];
          const size_t got = size_t(t * layout.layer_width() + column);
          worst_state = std::max({worst_state, std::abs(double(k[got]) - want_k), std::abs(double(v[got]) - want_v)});
          sum += want_k;
        }
        const double got_key = double(key[size_t(layer * layout.layer_width() + column)]);
        worst_key = std::max(worst_key, std::abs(got_key - sum / double(n)));
      }
    }
    CHECK(worst_state < 0.03);
    CHECK(worst_key < 5e-3);
  }
}

TEST_CASE("pages: numbers that are not finite are refused", "[runtime][compress]") {
  const PageLayout layout{1, 1, 4};
  std::vector<std::byte> state(size_t(layout.states().row_bytes()));
  std::vector<float> k(4), v(4), key(4);
  CHECK(read_page_layer(layout, state, 0, {k.data(), 1, 4}, {v.data(), 1, 4}).ok());
  const float bad = std::numeric_limits<float>::infinity();
  std::memcpy(state.data() + state.size() - 4, &bad, sizeof bad);
  CHECK(read_page_layer(layout, state, 0, {k.data(), 1, 4}, {v.data(), 1, 4}).code == Code::kCorrupt);
  const std::vector<uint16_t> halves = {f32_to_f16(1), f32_to_f16(2), 0x7c01, 0};
  CHECK(read_page_key(std::as_bytes(std::span(halves)), key).code == Code::kCorrupt);
}

TEST_CASE("page scorer: as the definition says, over more pages than are compared at once", "[runtime][gather]") {
  MethodBench bench(read_golden("pages_tiny_qwen2.bin"), "recent", Isa::kPortable);
  const ModelShape& shape = bench.model->shape();
  const PageLayout layout = PageLayout::of(shape);
  constexpr int64_t kTokens = 3;
  const int64_t group = shape.n_heads / shape.n_kv_heads, d = shape.head_dim;
  std::vector<StoredPage> pages(300);
  for (size_t p = 0; p < pages.size(); ++p) {
    pages[p].tokens = {int64_t(p) * 32, int64_t(p) * 32 + 32};
    for (int64_t i = 0; i < layout.key_bytes() / 2; ++i) {
      const uint16_t half = f32_to_f16(float(4 * std::sin(double(p * 7919 + size_t(i) * 104729 + p * p))));
      for (const uint16_t byte : {half & 255, half >> 8}) pages[p].key.push_back(std::byte(byte));
    }
  }
  PageQuestion question(shape, kTokens);
  std::vector<std::vector<float>> q;  // of each layer
  for (int64_t layer = 0; layer < shape.n_layers; ++layer) {
    std::vector<float>& own = q.emplace_back();
    for (int64_t i = 0; i < kTokens * shape.n_heads * d; ++i)
      own.push_back(float(2 * std::cos(double(i * 31 + layer))));
    question.add(layer, {own.data(), kTokens, shape.n_heads * d});
  }
  std::vector<double> want(pages.size()), got;
  for (int64_t layer = 0; layer < shape.n_layers; ++layer) {
    for (int64_t h = 0; h < shape.n_heads; ++h) {
      for (int64_t t = 0; t < kTokens; ++t) {
        std::vector<double> mass;
        double sum = 0;
        for (const StoredPage& page : pages) {
          std::vector<float> key(size_t(layout.key_bytes()) / 2);
          REQUIRE(read_page_key(page.key, key).ok());
          double dot = 0;
          for (int64_t i = 0; i < d; ++i)
            dot += double(q[size_t(layer)][size_t((t * shape.n_heads + h) * d + i)]) *
                   double(key[size_t((layer * shape.n_kv_heads + h / group) * d + i)]);
          mass.push_back(std::exp(dot * double(shape.attention_scale)));
          sum += mass.back();
        }
        for (size_t p = 0; p < pages.size(); ++p) want[p] += mass[p] / sum / double(shape.n_layers * shape.n_heads);
      }
    }
  }
  Scoring scoring(bench, kTokens);
  int64_t next = 0;
  const auto on_score = [&](TokenRange page, double score) {
    next = page.begin == next ? page.end : -1;
    got.push_back(score);
  };
  REQUIRE(scoring.scorer->run(question.bytes(), scan_of(pages), on_score).ok());
  REQUIRE(got.size() == want.size());
  CHECK(next == pages.back().tokens.end);  // in order
  double worst = 0;
  for (size_t p = 0; p < want.size(); ++p) worst = std::max(worst, std::abs(got[p] - want[p]) / want[p]);
  CHECK(worst < 1e-4);

  pages[200].key[1] = std::byte{0x7c};
  const Status refused = scoring.scorer->run(question.bytes(), scan_of(pages), on_score);
  CHECK(refused.code == Code::kCorrupt);
  CHECK(refused.message.find("page key 6400 ") == 0);
}

TEST_CASE("pages: the plain form chooses the same and begins its answer the same", "[runtime][compress]") {
  const Golden golden = read_golden("pages_tiny_qwen2.bin");
  const auto& ints = golden.ints;
  for (const Isa isa : {Isa::kPortable, best_isa()}) {
    CAPTURE(name(isa));
    MethodBench bench(golden, "h2o", isa);
    with_pages(bench);
    const auto c = bench.compressor();
    const std::vector<StoredPage> pages = read_text(bench, *c, ints.at("text"));
    const ModelShape& shape = bench.model->shape();
    LoadedModel model(tiny_path("qwen2"), isa, 64, 512);
    const int64_t n_vocab = shape.n_vocab, n_before = int64_t(ints.at("before").size());
    int n_questions = 0, n_same = 0, n_same_token = 0;
    double least_cosine = 1;
    const auto* want = ints.at("pages").data();
    for (auto at = ints.at("questions").begin(); at != ints.at("questions").end(); ++n_questions) {
      const int64_t n = *at++;
      std::vector<int32_t> prompt = ints.at("before");
      prompt.insert(prompt.end(), at, at + n);
      prompt.insert(prompt.end(), ints.at("behind").begin(), ints.at("behind").end());
      at += n;
      PageQuestion question(shape, n);
      REQUIRE(c->run_through(
                   prompt,
                   [&](int64_t layer, const LayerStates& states) {
                     question.add(layer, states.q.row_range(n_before, n_before + n));
                   },
                   nullptr)
                  .ok());
      std::vector<double> scores;
      Scoring scoring(bench, n);
      REQUIRE(scoring.scorer
                  ->run(question.bytes(), scan_of(pages), [&](TokenRange, double score) { scores.push_back(score); })
                  .ok());
      const std::vector<size_t> chosen = choose(pages, scores, golden.head["budget"]);
      std::vector<int32_t> begins;
      for (const size_t p : chosen) begins.push_back(int32_t(pages[p].tokens.begin));
      const std::vector<int32_t> want_begins(want + 1, want + 1 + *want);
      want += 1 + *want;
      n_same += begins == want_begins;
      KvCache cache = model.make_cache(isa == Isa::kRef ? KvView::Type::kF32 : KvView::Type::kF16);
      for (const StoredPage& page : pages) {
        if (std::ranges::count(want_begins, page.tokens.begin) > 0) put(model, page, cache);
      }
      const std::vector<float> logits = model.run(prompt, cache, int64_t(prompt.size()), /*rotated_keys=*/false);
      const auto last = std::span(logits).last(size_t(n_vocab));
      const auto plain = std::span(golden.floats.at("logits")).subspan(size_t(n_questions * n_vocab), size_t(n_vocab));
      least_cosine = std::min(least_cosine, cosine(last, plain));
      n_same_token += argmax(last) == argmax(plain);
    }
    CAPTURE(n_questions, n_same, n_same_token, least_cosine);
    CHECK(n_same * 100 >= n_questions * 98);
    CHECK(n_same_token * 100 >= n_questions * 95);
    CHECK(least_cosine > 0.999);
  }
}
