// What the policies of the list keep from chunk to chunk: in checkpoints, on any device, and for questions.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/method_bench.h"

using namespace reform;
using test::MethodBench;
using test::SavedParts;

namespace {

std::vector<std::byte>& bytes_of(SavedParts& parts, const std::string& name) {
  const auto found = std::ranges::find(parts, name, [](const auto& part) { return part.first; });
  REQUIRE(found != parts.end());
  return found->second;
}

std::vector<float> floats_of(SavedParts& parts, const std::string& name) {
  const std::vector<std::byte>& bytes = bytes_of(parts, name);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// A context stopped halfway: its state there, the rows of the rest of the text, and the state at the end.
struct Halves {
  SavedParts middle, end;
  std::vector<std::byte> rows;  // of the second half
};

// `from`: a state in the middle to go on from instead of reading the first half.
Halves run_halves(MethodBench& bench, const std::vector<int32_t>& text, const SavedParts* from = nullptr) {
  const size_t half = size_t(bench.options.chunk_tokens) * 2;
  const auto c = bench.compressor();
  if (from == nullptr) {
    bench.ingest(*c, text, 0, half);
  } else {
    test::load_parts(*c, *from);
  }
  Halves run;
  run.middle = test::saved_parts(*c);
  run.rows = bench.ingest(*c, text, half, text.size());
  run.end = test::saved_parts(*c);
  return run;
}

void check_same(const Halves& a, const Halves& b) {
  CHECK((a.middle == b.middle));
  CHECK((a.rows == b.rows));
  CHECK((a.end == b.end));
}

std::vector<std::byte> ask(MethodBench& bench, const test::Golden& golden, const SavedParts& parts) {
  const auto c = bench.compressor();
  test::load_parts(*c, parts);
  const auto rows = c->run_question(golden.ints.at("question"), nullptr);
  REQUIRE(rows.ok());
  CHECK((test::saved_parts(*c) == parts));  // a question is not observed
  return {rows.value().begin(), rows.value().end()};
}

}  // namespace

TEST_CASE("every policy goes on from a checkpoint as if never stopped, on devices of either kind",
          "[runtime][policy][device]") {
  const auto golden = test::read_golden();
  const std::vector<int32_t>& text = golden.ints.at("text");
  for (const Policy& policy : policies()) {
    if (!policy.carries()) continue;
    CAPTURE(policy.name);
    MethodBench here(golden, policy.name, best_isa());
    MethodBench there(golden, policy.name, KvView::Type::kF16,
                      [](MethodBench& b) { return test::fenced_cpu(best_isa(), b.pool); });
    const Halves on_host = run_halves(here, text), on_device = run_halves(there, text);
    check_same(on_device, on_host);
    check_same(run_halves(here, text, &on_host.middle), on_host);
    check_same(run_halves(there, text, &on_host.middle), on_host);
    CHECK((ask(here, golden, on_host.end) == ask(there, golden, on_host.end)));
  }
}

TEST_CASE("a chunk that was cut is undone: a checkpoint then is that of the chunk before", "[runtime][policy]") {
  const auto golden = test::read_golden();
  const std::vector<int32_t>& text = golden.ints.at("text");
  for (const Policy& policy : policies()) {
    if (!policy.carries()) continue;
    CAPTURE(policy.name);
    MethodBench bench(golden, policy.name, best_isa());
    const auto n = size_t(bench.options.chunk_tokens);
    const auto c = bench.compressor();
    bench.ingest(*c, text, 0, 2 * n);
    const SavedParts before = test::saved_parts(*c);
    CHECK(c->undo_chunk());
    CHECK((test::saved_parts(*c) == before));  // none was cut
    CancelToken cancel;
    const auto cut = c->run_chunk(
        {}, std::span(text).subspan(2 * n, n),
        [&](double done) {
          if (done > 0.6) cancel.cancel();
        },
        &cancel);
    REQUIRE(cut.status().code == Code::kCancelled);
    REQUIRE(c->undo_chunk());
    CHECK((test::saved_parts(*c) == before));
  }
}

TEST_CASE("zsmerge's slots stand for all tokens there were, and its biases act on chunks and questions",
          "[runtime][policy]") {
  const auto golden = test::read_golden();
  const std::vector<int32_t>& text = golden.ints.at("text");
  MethodBench bench(golden, "zsmerge", best_isa());
  Halves run = run_halves(bench, text);
  const auto n_kv_heads = size_t(bench.model->shape().n_kv_heads);
  for (const char* layer : {"0", "1"}) {
    const std::vector<float> weights = floats_of(run.end, std::string("weights ") + layer + " f32");
    const std::vector<float> biases = floats_of(run.end, std::string("biases ") + layer + " f32");
    const size_t n_merged = weights.size() / n_kv_heads;
    for (size_t g = 0; g < n_kv_heads; ++g) {
      const auto first = weights.begin() + ptrdiff_t(g * n_merged);
      const double n_merged_tokens = std::accumulate(first, first + ptrdiff_t(n_merged), 0.0);
      CHECK(n_merged_tokens + double(bench.options.cache_tokens) - double(n_merged) == double(text.size()));
    }
    for (size_t i = 0; i < weights.size(); ++i) CHECK(double(biases[i]) == Approx(std::log(double(weights[i]))));
  }

  SavedParts planted = run.end;
  std::ranges::fill(bytes_of(planted, "biases 0 f32"), std::byte{0});
  CHECK((ask(bench, golden, planted) != ask(bench, golden, run.end)));
  planted = run.middle;
  std::ranges::fill(bytes_of(planted, "biases 0 f32"), std::byte{0});
  CHECK((run_halves(bench, text, &planted).rows != run.rows));
}

TEST_CASE("cascade counts the tokens of all chunks, and the count decides what its rings accept", "[runtime][policy]") {
  const auto golden = test::read_golden();
  const std::vector<int32_t>& text = golden.ints.at("text");
  MethodBench bench(golden, "cascade", best_isa());
  const Halves run = run_halves(bench, text);
  SavedParts planted = run.middle;
  std::vector<std::byte>& bytes = bytes_of(planted, "seen tokens i64");
  int64_t n_seen = 0;
  REQUIRE(bytes.size() == sizeof(n_seen));
  std::memcpy(&n_seen, bytes.data(), sizeof(n_seen));
  CHECK(n_seen == 2 * bench.options.chunk_tokens);
  ++n_seen;
  std::memcpy(bytes.data(), &n_seen, sizeof(n_seen));
  CHECK((run_halves(bench, text, &planted).rows != run.rows));
  for (const int64_t absurd : {INT64_MIN, INT64_MAX}) {  // a file may say so
    std::memcpy(bytes.data(), &absurd, sizeof(absurd));
    CHECK(run_halves(bench, text, &planted).rows.size() == run.rows.size());
  }
}

TEST_CASE("state of a fixed size is refused in any other", "[runtime][policy]") {
  const auto golden = test::read_golden();
  MethodBench bench(golden, "zsmerge", Isa::kRef);
  const auto c = bench.compressor();
  bench.ingest(*c, golden.ints.at("text"));
  const SavedParts parts = test::saved_parts(*c);
  const auto other = bench.compressor();
  CacheLoader loader = other->loader();
  size_t index = 0;
  for (; parts[index].first != "has merged i64"; ++index)
    REQUIRE(loader.load_part(parts[index].first, parts[index].second).ok());
  const std::vector<std::byte> wrong(12);
  CHECK(loader.load_part("has merged i64", wrong).code == Code::kCorrupt);
  CHECK(loader.load_part("has merged i64", parts[index].second).ok());
}
