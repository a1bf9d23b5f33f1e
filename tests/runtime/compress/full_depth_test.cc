// A compressor that runs all layers makes the rows of one that stops at the exit layer, and keeps every layer's cache.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/compress/cache_parts.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/method_bench.h"

using namespace reform;
using namespace reform::test;

namespace {

std::vector<int32_t> some_ids(size_t n) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < n; ++i) ids.push_back(int32_t(i * i * 31 % 257));
  return ids;
}

struct Run {
  std::vector<std::byte> rows, question;
  SavedParts parts;
  int64_t n_layers = 0;
};

Run run_of(const std::string& policy, bool full_depth,
           const Heads& heads = {{0, HeadRef::Part::kV, 1}, {1, HeadRef::Part::kQ, 0}}) {
  const Golden golden = read_golden();
  MethodBench bench(golden, policy, Isa::kPortable);
  bench.heads = heads;
  bench.options.full_depth = full_depth;
  const auto c = bench.compressor();
  const std::vector<int32_t> text = some_ids(size_t(bench.options.chunk_tokens * 3 + 7));
  Run run;
  run.rows = bench.ingest(*c, text);
  const std::vector<int32_t> question = some_ids(9);
  const auto rows = c->run_question(question, nullptr);
  REQUIRE(rows.ok());
  run.question.assign(rows.value().begin(), rows.value().end());
  run.parts = saved_parts(*c);
  run.n_layers = bench.model->shape().n_layers;

  // A loaded one is the same.
  const auto again = bench.compressor();
  load_parts(*again, run.parts);
  CHECK(again->kv_len() == c->kv_len());
  CHECK((saved_parts(*again) == run.parts));
  return run;
}

bool is_of_layer(const std::string& part, int64_t layer) {
  const std::string number = " " + std::to_string(layer);
  return part.find(number + ".") != std::string::npos || part.find(number + " ") != std::string::npos;
}

// The policy holds what the checkpoint has of it.
void check_state(EvictionPolicy& policy, int64_t n_layers, int64_t kv_len, const SavedParts& saved) {
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    for (const StatePart& held : policy.state(layer)) {
      const auto part = std::ranges::find(saved, held.name, [](const auto& p) { return p.first; });
      REQUIRE(part != saved.end());
      REQUIRE(held.bytes(kv_len) == int64_t(part->second.size()));
      CHECK(std::memcmp(held.data, part->second.data(), part->second.size()) == 0);
    }
  }
}

}  // namespace

TEST_CASE("full depth: rows and the lower layers' cache are as without it, the upper layers' come after them",
          "[runtime][compress]") {
  for (const std::string& policy : every_policy()) {
    CAPTURE(policy);
    const Run shallow = run_of(policy, false), deep = run_of(policy, true);
    CHECK((deep.rows == shallow.rows));
    CHECK((deep.question == shallow.question));
    REQUIRE(deep.parts.size() > shallow.parts.size());
    // Above the exit layer, too, the policy keeps what it keeps below.
    CHECK((run_of(policy, true, {{0, HeadRef::Part::kV, 1}}).parts == deep.parts));
    CHECK(std::equal(shallow.parts.begin(), shallow.parts.end(), deep.parts.begin()));
    for (int64_t layer = 0; layer < deep.n_layers; ++layer) {
      const auto held = [&](const SavedParts& parts) {
        return std::ranges::count_if(parts, [&](const auto& part) { return is_of_layer(part.first, layer); });
      };
      const int64_t n_of_all = policy == "zsmerge" || policy == "cascade" ? 1 : 0;  // a count, kept with layer 0
      CHECK(held(deep.parts) * deep.n_layers + n_of_all == int64_t(deep.parts.size()));
      CHECK(held(shallow.parts) == (layer == 0 ? held(deep.parts) : 0));  // layer 1 is the exit
    }
  }
}

TEST_CASE("cache loader: a checkpoint's keys and values, and what the policy added, damage is told",
          "[runtime][compress]") {
  for (const std::string& policy : every_policy()) {
    CAPTURE(policy);
    const Run deep = run_of(policy, true);
    const Golden golden = read_golden();
    MethodBench bench(golden, policy, Isa::kPortable);
    const ModelShape& shape = bench.model->shape();
    const int64_t most = stored_slots(bench.options);
    KvCache cache = std::move(KvCache::create(bench.account, KvView::Type::kF16, shape.n_layers, shape.n_kv_heads,
                                              shape.head_dim, most + 3))
                        .value();
    std::unique_ptr<EvictionPolicy> of_cache;
    const auto load = [&](const SavedParts& parts) {
      of_cache = std::move(make_policy(bench.options, bench.site(), shape, shape.n_layers, most)).value();
      const std::vector<StatePart> kept = checkpoint_parts(cache, of_cache.get());
      CacheLoader loader(*bench.device, cache, kept, most);
      for (const auto& [name, bytes] : parts) {
        if (Status s = loader.load_part(name, bytes); !s.ok()) return s;
      }
      return loader.finish();
    };
    REQUIRE(load(deep.parts).ok());
    const int64_t slot_bytes = shape.head_dim * 2, kv_len = int64_t(deep.parts[0].second.size()) / slot_bytes;
    CHECK(cache.kv_len() == kv_len);
    for (int64_t layer = 0; layer < shape.n_layers; ++layer) {
      const KvView view = cache.layer(layer, kv_len);
      for (int64_t g = 0; g < shape.n_kv_heads; ++g) {
        for (const bool is_key : {true, false}) {
          const std::string name = (is_key ? "k " : "v ") + std::to_string(layer) + "." + std::to_string(g) + " f16";
          const auto part = std::ranges::find(deep.parts, name, [](const auto& p) { return p.first; });
          REQUIRE(part != deep.parts.end());
          const auto* const data = static_cast<const std::byte*>(is_key ? view.k : view.v);
          CHECK(std::memcmp(data + g * view.capacity * slot_bytes, part->second.data(), part->second.size()) == 0);
        }
      }
    }

    if (of_cache != nullptr) check_state(*of_cache, shape.n_layers, kv_len, deep.parts);

    const auto refused = [&](const SavedParts& parts) {
      const Status s = load(parts);
      INFO(s.message);
      CHECK(s.code == Code::kCorrupt);
    };
    refused({});
    SavedParts damaged = deep.parts;
    damaged.erase(damaged.begin() + 1);
    refused(damaged);
    damaged = deep.parts;
    std::swap(damaged[0], damaged[1]);
    refused(damaged);
    damaged = deep.parts;
    damaged.back().second.resize(0);
    refused(damaged);
    damaged = deep.parts;
    damaged.push_back(damaged.back());
    refused(damaged);
    damaged = deep.parts;
    damaged[0].second.pop_back();
    refused(damaged);
    damaged = deep.parts;
    damaged[1].second.resize(damaged[1].second.size() - size_t(slot_bytes));
    refused(damaged);
    damaged = deep.parts;
    for (auto& [name, bytes] : damaged) bytes.resize(size_t(most + 1) * size_t(slot_bytes));
    refused(damaged);
  }
}
