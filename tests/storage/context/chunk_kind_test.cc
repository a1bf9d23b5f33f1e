// A kind of value that the store does not ship. A row in the table, and its bytes passed to commit_chunk(), are all it
// needs to be kept, truncated, verified, exported and imported.
#include "storage/format/chunk_kind.h"

#include "storage/disk/disk.h"
#include "storage/disk/ledger.h"
#include "storage/format/frame.h"
#include "tests/storage/support/archive_memory.h"
#include "tests/storage/support/raw_database.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/support/files.h"

using namespace reform;
using namespace reform::test;
using schema::Family;
using schema::Kind;

namespace {

constexpr ChunkKind kPages = {"pages", "page block", ChunkKind::Shape::kRows, Kind(200), Family(6), 200, 1 << 20, true};
constexpr ChunkKind kWords = {"words", "word list", ChunkKind::Shape::kWhole, Kind(201), Family(7), 201,
                              1 << 20, false};

constexpr int32_t kRowBytes = 7, kPageBytes = 1500;  // pages decide the size of blocks: 2,796 tokens each
const ExtraKinds kExtra = {{"pages", kPageBytes}, {"words", 0}};

void know_kinds() {
  static const bool once = (add_chunk_kind(kPages), add_chunk_kind(kWords), true);
  (void)once;
}

std::vector<std::byte> pages(int64_t begin, int64_t n) {
  std::vector<std::byte> bytes;
  for (int64_t t = begin; t < begin + n; ++t) {
    for (int64_t i = 0; i < kPageBytes; ++i) bytes.push_back(part_byte(3, t, i));
  }
  return bytes;
}

std::vector<std::byte> words(int64_t begin) {  // of the chunk that begins there; the first has none
  std::vector<std::byte> bytes(size_t(begin * 3));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = part_byte(4, begin, int64_t(i));
  return bytes;
}

void commit(ContextWriter& writer, int64_t begin, int64_t n) {
  const Chunk chunk(1, begin, n, kRowBytes);
  const auto page_bytes = pages(begin, n), word_bytes = words(begin);
  ChunkWrite write = chunk.write();
  write.parts.push_back({"words", word_bytes});
  write.parts.push_back({"pages", page_bytes});
  must(writer.commit_chunk(write));
}

// Checks that `data` has these chunks, and all that each of them left.
void compare(ContextData& data, const std::vector<int64_t>& chunks) {
  CHECK(data.meta().extra_kinds == kExtra);
  must(compare_tokens(data, 1));
  must(compare_embeddings(data, 1));
  int64_t at = 0;
  must(data.scan(kPages, [&](TokenRange tokens, std::span<const std::byte> bytes) -> Status {
    CHECK(tokens.begin == at);
    const auto want = pages(tokens.begin, tokens.n_tokens());
    CHECK(std::equal(bytes.begin(), bytes.end(), want.begin(), want.end()));
    at = tokens.end;
    return {};
  }));
  CHECK(at == data.meta().n_tokens);
  size_t chunk = 0;
  at = 0;
  must(data.scan(kWords, [&](TokenRange tokens, std::span<const std::byte> bytes) -> Status {
    REQUIRE(chunk < chunks.size());
    CHECK((tokens.begin == at && tokens.n_tokens() == chunks[chunk]));
    const auto want = words(at);
    CHECK(std::equal(bytes.begin(), bytes.end(), want.begin(), want.end()));
    at += chunks[chunk++];
    return {};
  }));
  CHECK(chunk == chunks.size());
}

class ExtraStore {
 public:
  ExtraStore() {
    know_kinds();
    store_ = must(ContextStore::open(dir_.path(), account_));
    auto writer = must(store_->create("a", kRowBytes, "{}", Which::kCurrent, kExtra));
    id_ = writer->meta().id;
    commit(*writer, 0, 3000);
    must(save(*writer, 3000, 2, {70'000}));
    commit(*writer, 3000, 3000);
    commit(*writer, 6000, 41);
  }
  ContextStore& reopen() {
    store_.reset();
    store_ = must(ContextStore::open(dir_.path(), account_));
    return *store_;
  }
  void finish() { must(must(reopen().open_writer("a"))->finish("[]", "{}")); }
  std::string context_dir() const { return dir_.path("contexts/" + id_); }
  const std::string& id() const { return id_; }
  Result<std::string> exported(const std::string& name = "a") {
    std::string bytes;
    TRY(reopen().export_context(name, {}, append_to(bytes), {}));
    return bytes;
  }
  Status imported(const std::string& archive, const std::string& name) {
    const auto rename = [&](ContextMeta& meta) -> Status {
      CHECK(meta.extra_kinds == kExtra);
      meta.name = name;
      return {};
    };
    return reopen().import_context(source_of(archive), rename, {}).status();
  }

 private:
  TempDir dir_;
  MemoryAccount account_;
  std::unique_ptr<ContextStore> store_;
  std::string id_;
};

}  // namespace

TEST_CASE("a further kind is committed with its chunk, cut back with it, and is there after opening again",
          "[storage][kinds]") {
  ExtraStore store;
  {
    auto writer = must(store.reopen().open_writer("a"));
    compare(*writer, {3000, 3000, 41});
    must(writer->truncate(6000, "[]", "{}"));
    compare(*writer, {3000, 3000});
    must(writer->truncate(3000, "[]", "{}"));
  }
  {
    auto writer = must(store.reopen().open_writer("a"));
    compare(*writer, {3000});
    commit(*writer, 3000, 77);
    must(writer->finish("[]", "{}"));
  }
  compare(*must(store.reopen().open_reader("a")), {3000, 77});
  CHECK(must(store.reopen().find("a")).meta.extra_kinds == kExtra);
  CHECK(must(store.reopen().find("a")).meta.extra_kinds == kExtra);  // from the catalogue
}

TEST_CASE("verify names a value of a further kind that is damaged, gone, or of a wrong size", "[storage][kinds]") {
  ExtraStore store;
  store.finish();
  CHECK(must(store.reopen().verify({}, {}))[0].n_damages == 0);
  {
    RawDatabase db(store.context_dir());
    std::string page = db.get(Family(6), 2796);
    page[page.size() / 2] = char(page[page.size() / 2] ^ 1);
    db.put(Family(6), 2796, page);
    db.put(Family(6), 6000, frame_value(store.id(), Kind(200), 6000, std::as_bytes(std::span("short", 5))));
    std::string word = db.get(Family(7), 3000);
    word[100] = char(word[100] ^ 1);
    db.put(Family(7), 3000, word);
    db.erase(Family(7), 0);
  }
  const auto verdict = must(store.reopen().verify({}, {}))[0];
  std::string all;
  for (const Status& damage : verdict.damages) all += damage.message + "\n";
  INFO(all);
  CHECK(verdict.n_damages == 4);
  for (const char* part : {"page block 2796 fails its checksum", "page block 6000 has 5 bytes, expected 61500",
                           "word list 3000 fails its checksum", "word list 0 is missing"}) {
    CAPTURE(part);
    CHECK(all.find(part) != std::string::npos);
  }
}

TEST_CASE("an archive holds further kinds, and gives them back to the byte", "[storage][kinds][archive]") {
  ExtraStore store;
  store.finish();
  const std::string archive = must(store.exported());
  must(store.imported(archive, "b"));
  compare(*must(store.reopen().open_reader("b")), {3000, 3000, 41});
  must(store.reopen().remove("a"));
  must(store.imported(archive, "a"));
  CHECK(must(store.exported()) == archive);

  std::string hurt = archive;
  const auto page = pages(3000, 50);
  const size_t at = archive.find(std::string(reinterpret_cast<const char*>(page.data()), page.size()));
  REQUIRE(at != std::string::npos);
  hurt[at] = char(hurt[at] ^ 1);
  const Status refused = store.imported(hurt, "c");
  CHECK(refused.code == Code::kCorrupt);
  CHECK(refused.message == "its page block 3000 fails its checksum");
}

TEST_CASE("a chunk must leave what its context keeps, no more and no less", "[storage][kinds]") {
  ExtraStore store;
  auto writer = must(store.reopen().open_writer("a"));
  const Chunk chunk(1, 6041, 2, kRowBytes);
  const auto page_bytes = pages(6041, 2);
  const std::vector<std::byte> none, long_one(size_t(schema::kMaxBlockBytes) + 1);
  const NamedBytes rows{"embeddings", chunk.rows}, page{"pages", page_bytes}, word{"words", none};
  ChunkWrite write = chunk.write();
  for (const std::vector<NamedBytes>& parts : {std::vector<NamedBytes>{rows, page},
                                               {rows, word},
                                               {page, word},
                                               {rows, page, word, {"spans", none}},
                                               {rows, page, word, word},
                                               {rows, page, {"words", long_one}},
                                               {rows, {"pages", none}, word}}) {
    write.parts = parts;
    CHECK(writer->commit_chunk(write).code == Code::kInternal);
  }
  CHECK(writer->meta().n_tokens == 6041);
  write.parts = {rows, page, word};
  must(writer->commit_chunk(write));
}

TEST_CASE("a context without further kinds has none, and one with an unknown kind is refused", "[storage][kinds]") {
  know_kinds();
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  CHECK(store->create("x", 3, "{}", Which::kCurrent, {{"nothing", 1}}).status().code == Code::kUsage);
  CHECK(store->create("x", 3, "{}", Which::kCurrent, {{"spans", 0}}).status().code == Code::kUsage);
  CHECK(store->create("x", 3, "{}", Which::kCurrent, {{"pages", 0}}).status().code == Code::kUsage);
  CHECK(store->create("x", 3, "{}", Which::kCurrent, {{"words", 1}}).status().code == Code::kUsage);
  std::string context_dir;
  {
    auto writer = must(store->create("x", 3, "{}"));
    must(writer->commit_chunk(Chunk(1, 0, 10, 3).write()));
    CHECK(writer->scan(kPages, [](TokenRange, std::span<const std::byte>) { return Status{}; }).code ==
          Code::kNotFound);
    context_dir = dir.path("contexts/" + writer->meta().id);
  }
  CHECK(read_file(context_dir + "/context.json").find("extra") == std::string::npos);
  const auto disk = Disk::plain();
  Ledger ledger = must(read_ledger(*disk, context_dir));
  ledger.extra_kinds = {{"future", 12}};
  must(write_ledger(*disk, context_dir, ledger));
  const Status refused = store->open_reader("x").status();
  CHECK(refused.code == Code::kCorrupt);
  CHECK(refused.message.find("\"future\"") != std::string::npos);
  CHECK(refused.message.find("use a newer reform") != std::string::npos);
}

TEST_CASE("pages: a value for every 32 tokens of a chunk, read at random as in order", "[storage][kinds]") {
  constexpr int32_t kStateBytes = 1500, kKeyBytes = 70;
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  const ExtraKinds extra = {{"page_states", kStateBytes}, {"page_keys", kKeyBytes}};
  auto writer = must(store->create("x", kRowBytes, "{}", Which::kCurrent, extra));
  const std::vector<int64_t> chunks = {70, 32, 5};
  std::vector<TokenRange> want;
  int64_t begin = 0;
  for (const int64_t n : chunks) {
    for (int64_t at = 0; at < n; at += 32) want.push_back({begin + at, begin + std::min(n, at + 32)});
    const Chunk chunk(1, begin, n, kRowBytes);
    std::vector<std::byte> states, keys;
    for (int64_t i = 0; i < n * kStateBytes; ++i)
      states.push_back(part_byte(5, begin + i / kStateBytes, i % kStateBytes));
    for (int64_t page = 0; page * 32 < n; ++page) {
      for (int64_t i = 0; i < kKeyBytes; ++i) keys.push_back(part_byte(6, begin + page * 32, i));
    }
    ChunkWrite write = chunk.write();
    write.parts.push_back({"page_states", states});
    write.parts.push_back({"page_keys", std::span(keys).first(keys.size() - 1)});
    CHECK(writer->commit_chunk(write).code == Code::kInternal);
    write.parts.back().bytes = keys;
    must(writer->commit_chunk(write));
    begin += n;
  }
  must(writer->finish("[]", "{}"));
  writer.reset();
  const auto data = must(store->open_reader("x"));
  const auto check = [](TokenRange page, std::span<const std::byte> bytes, int seed, int64_t n_bytes,
                        int64_t row_bytes) {
    REQUIRE(int64_t(bytes.size()) == n_bytes);
    for (int64_t i = 0; i < n_bytes; ++i)
      REQUIRE(bytes[size_t(i)] == part_byte(uint64_t(seed), page.begin + i / row_bytes, i % row_bytes));
  };
  size_t at = 0;
  must(data->scan(kPageKeys, [&](TokenRange page, std::span<const std::byte> bytes) -> Status {
    CHECK((page.begin == want[at].begin && page.end == want[at].end));
    check(page, bytes, 6, kKeyBytes, kKeyBytes);
    ++at;
    return {};
  }));
  CHECK(at == want.size());
  // From within a page to within another, across a chunk's end; then one that is before those.
  std::vector<TokenRange> got;
  const std::vector<TokenRange> ranges = {{40, 71}, {106, 107}, {31, 32}};
  must(data->read_values(kPageStates, ranges, [&](TokenRange page, std::span<const std::byte> bytes) -> Status {
    check(page, bytes, 5, page.n_tokens() * kStateBytes, kStateBytes);
    got.push_back(page);
    return {};
  }));
  const std::vector<int64_t> begins = {32, 64, 70, 102, 0};
  REQUIRE(got.size() == begins.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i].begin == begins[i]);
  const TokenRange beyond{106, 108};
  const auto nothing = [](TokenRange, std::span<const std::byte>) { return Status{}; };
  CHECK(data->read_values(kPageStates, {&beyond, 1}, nothing).code == Code::kInternal);
  CHECK(data->read_values(kWords, ranges, nothing).code == Code::kNotFound);
}
