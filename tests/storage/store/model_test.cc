// The store against a plain model of it, over random sequences of operations. After each, everything is closed and
// read.
#include <map>
#include <set>

#include "tests/storage/support/store_fixture.h"

using namespace reform;
using namespace reform::test;

namespace {

struct ModelContext {
  uint64_t seed = 0;
  int32_t row_bytes = 0;
  std::vector<int64_t> boundaries = {0};  // chunk ends; the last is n_tokens
  bool complete = false;
  std::string progress;
  std::map<int64_t, std::pair<uint64_t, std::vector<int64_t>>> checkpoints;  // n_tokens -> (seed, part sizes)
};

class ModelRun {
 public:
  explicit ModelRun(uint64_t seed) : random_(seed) {}

  void step() {
    auto store = must(ContextStore::open(dir_.path("store"), account_));
    const std::string name = "text " + std::to_string(below(3));
    const bool exists = model_.contains(name);
    if (!exists) {
      CHECK(store->open_writer(name).status().code == Code::kNotFound);
      CHECK(store->open_reader(name).status().code == Code::kNotFound);
      CHECK(store->remove(name).code == Code::kNotFound);
      ModelContext made;
      made.seed = random_();
      made.row_bytes = int32_t(1 + below(80));
      must(store->create(name, made.row_bytes, "{\"n\":1}"));
      model_[name] = made;
    } else if (below(12) == 0) {
      must(store->remove(name));
      model_.erase(name);
    } else {
      CHECK(store->create(name, 7, "").status().code == Code::kExists);
      auto writer = must(store->open_writer(name));
      for (int64_t n = 1 + below(3); n > 0; --n) change(*writer, model_[name]);
    }
    store = must(ContextStore::open(dir_.path("store"), account_));
    verify(*store);
  }

 private:
  int64_t below(int64_t n) { return int64_t(random_() % uint64_t(n)); }

  void change(ContextWriter& writer, ModelContext& m) {
    const int64_t n_tokens = m.boundaries.back();
    switch (below(4)) {
      case 0:
      case 1: {
        if (m.complete) break;
        const int64_t n = below(5) == 0 ? 4000 + below(5000) : 1 + below(300);
        m.progress = std::to_string(random_());
        must(writer.commit_chunk(Chunk(m.seed, n_tokens, n, m.row_bytes, m.progress).write()));
        m.boundaries.push_back(n_tokens + n);
        break;
      }
      case 2: {
        const int64_t at = m.boundaries[size_t(below(int64_t(m.boundaries.size())))];
        std::vector<int64_t> sizes;
        for (int64_t p = below(5); p > 0; --p) sizes.push_back(below(6) == 0 ? below(3 << 20) : below(3000));
        const uint64_t seed = random_();
        std::set<int64_t> keep;
        for (const auto& [n, checkpoint] : m.checkpoints) {
          if (below(2)) keep.insert(n);
        }
        must(save(writer, at, seed, sizes, {keep.begin(), keep.end()}));
        std::erase_if(m.checkpoints, [&](const auto& c) { return !keep.contains(c.first); });
        m.checkpoints[at] = {seed, sizes};
        break;
      }
      default: {
        m.progress = std::to_string(random_());
        if (below(2)) {
          must(writer.finish("[\"a.txt\"]", m.progress));
          m.complete = true;
          break;
        }
        const auto keep = size_t(1 + below(int64_t(m.boundaries.size())));
        must(writer.truncate(m.boundaries[keep - 1], "[\"a.txt\"]", m.progress));
        m.boundaries.resize(keep);
        m.complete = false;
        std::erase_if(m.checkpoints, [&](const auto& c) { return c.first > m.boundaries.back(); });
      }
    }
  }

  void verify(ContextStore& store) {
    const auto entries = must(store.list());
    REQUIRE(entries.size() == model_.size());
    size_t i = 0;
    for (const auto& [name, m] : model_) {
      const ContextEntry& entry = entries[i++];
      must(entry.state);
      CHECK_FALSE(entry.busy);
      CHECK(entry.meta.name == name);
      CHECK(entry.meta.n_tokens == m.boundaries.back());
      CHECK(entry.meta.complete == m.complete);
      auto reader = must(store.open_reader(name));
      CHECK(reader->meta().progress == m.progress);
      CHECK(reader->meta().settings == "{\"n\":1}");
      must(compare_tokens(*reader, m.seed));
      must(compare_embeddings(*reader, m.seed));
      std::vector<int64_t> present;
      for (const auto& [n, checkpoint] : m.checkpoints) {
        present.push_back(n);
        must(compare_checkpoint(*reader, n, checkpoint.first, checkpoint.second));
      }
      CHECK(must(reader->checkpoints()) == present);
    }
    CHECK(account_.current_bytes(MemoryCategory::kIndex) == 0);
  }

  std::mt19937_64 random_;
  TempDir dir_;
  MemoryAccount account_;
  std::map<std::string, ModelContext> model_;
};

}  // namespace

TEST_CASE("after any sequence of operations the store holds what a plain model holds", "[storage]") {
  const uint64_t seed = GENERATE(1u, 2u, 3u, 4u);
  INFO("seed " << seed);
  ModelRun run(seed);
  for (int step = 0; step < 40; ++step) {
    INFO("step " << step);
    run.step();
  }
}

TEST_CASE("ranges of tokens read in one call equal the same tokens read one by one", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  auto writer = must(store->create("x", 3, ""));
  int64_t n = 0;
  for (const int64_t chunk : {5000, 1, 4096, 4096, 4096, 8193, 17}) {
    must(writer->commit_chunk(Chunk(9, n, chunk, 3).write()));
    n += chunk;
  }
  must(compare_tokens(*writer, 9));
  const Tokens all = must(writer->read_tokens(0, n));
  std::mt19937_64 random(5);
  std::vector<TokenRange> ranges = {{0, 0}, {n, n}, {4096, 4096}, {5000, 5001}, {0, n}, {4095, 9099}};
  for (int i = 0; i < 200; ++i) {
    const auto a = int64_t(random() % uint64_t(n + 1)), b = int64_t(random() % uint64_t(n + 1));
    ranges.push_back({std::min(a, b), std::min(std::max(a, b), std::min(a, b) + 200)});
  }
  const auto found = must(writer->read_token_ranges(ranges));
  REQUIRE(found.size() == ranges.size());
  for (size_t r = 0; r < ranges.size(); ++r) {
    INFO("[" << ranges[r].begin << ", " << ranges[r].end << ")");
    const std::vector<int32_t> ids(all.ids.begin() + ranges[r].begin, all.ids.begin() + ranges[r].end);
    const std::vector<int64_t> bytes(all.begin_bytes.begin() + ranges[r].begin,
                                     all.begin_bytes.begin() + ranges[r].end + 1);
    CHECK(found[r].ids == ids);
    CHECK(found[r].begin_bytes == bytes);
  }
  CHECK(writer->read_tokens(-1, 2).status().code == Code::kInternal);
  CHECK(writer->read_tokens(3, 2).status().code == Code::kInternal);
  CHECK(writer->read_tokens(0, n + 1).status().code == Code::kInternal);
}

TEST_CASE("a chunk, checkpoint or cut that does not fit is refused and changes nothing", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  auto writer = must(store->create("x", 3, ""));
  must(writer->commit_chunk(Chunk(9, 0, 10, 3).write()));
  CHECK(writer->commit_chunk(Chunk(9, 9, 10, 3).write()).code == Code::kInternal);
  CHECK(writer->commit_chunk(Chunk(9, 10, 10, 4).write()).code == Code::kInternal);
  CHECK(writer->commit_chunk(Chunk(9, 10, 0, 3).write()).code == Code::kInternal);
  CHECK(save(*writer, 5, 1, {3}).code == Code::kInternal);
  CHECK(writer->truncate(5, "", "").code == Code::kInternal);
  CHECK(writer->truncate(-1, "", "").code == Code::kInternal);
  CHECK(compare_checkpoint(*writer, 10, 1, {}).code == Code::kNotFound);
  must(writer->commit_chunk(Chunk(9, 10, 7, 3).write()));
  must(writer->finish("", ""));
  CHECK(writer->commit_chunk(Chunk(9, 17, 7, 3).write()).code == Code::kInternal);
  CHECK(writer->meta().n_tokens == 17);
  must(compare_tokens(*writer, 9));
  must(compare_embeddings(*writer, 9));
}

TEST_CASE("a scan stops at the first failed status and hands it back", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  auto writer = must(store->create("x", 1000, ""));
  for (int64_t c = 0; c < 6; ++c) must(writer->commit_chunk(Chunk(2, c * 4096, 4096, 1000).write()));
  int n_blocks = 0;
  const Status stopped = writer->scan(kEmbeddingRows, [&](TokenRange, std::span<const std::byte>) {
    return ++n_blocks == 4 ? Status{Code::kCancelled, "enough"} : Status{};
  });
  CHECK(stopped.code == Code::kCancelled);
  CHECK(n_blocks == 4);
  CHECK(account.peak_bytes(MemoryCategory::kIndex) == 9 * (4 << 20));
  CHECK(account.current_bytes(MemoryCategory::kIndex) == 0);
}
