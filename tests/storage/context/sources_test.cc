// A long list of sources: it is written as it grows, in pieces, and is whole after any change, crash or journey.
#include "storage/format/frame.h"
#include "tests/storage/support/archive_memory.h"
#include "tests/storage/support/raw_database.h"
#include "tests/storage/support/store_fixture.h"

using namespace reform;
using namespace reform::test;
using schema::Family;

namespace {

constexpr int32_t kRowBytes = 7;

std::string list_of(size_t n_bytes, char last = ']') {
  std::string text;
  for (size_t i = 0; text.size() < n_bytes; ++i) text += "{\"name\":\"" + std::to_string(i) + "\"},";
  text.resize(n_bytes);
  if (n_bytes > 0) text.back() = last;
  return text;
}

class ListStore {
 public:
  ListStore() { reopen(); }
  ContextStore& reopen() {
    store_.reset();
    store_ = must(ContextStore::open(dir_.path(), account_));
    return *store_;
  }
  std::string kept(const std::string& name = "a") { return must(reopen().find(name)).meta.sources; }
  std::string context_dir(const std::string& id) const { return dir_.path("contexts/" + id); }
  // Bytes of the write-ahead log that `write` adds.
  template <class Write>
  int64_t logged_by(const std::string& id, const Write& write) {
    const auto bytes = [&] {
      int64_t sum = 0;
      for (const auto& file : std::filesystem::directory_iterator(context_dir(id)))
        if (file.path().extension() == ".log") sum += int64_t(file.file_size());
      return sum;
    };
    const int64_t before = bytes();
    write();
    return bytes() - before;
  }

 private:
  TempDir dir_;
  MemoryAccount account_;
  std::unique_ptr<ContextStore> store_;
};

void commit(ContextWriter& writer, int64_t begin, const std::string& sources) {
  const Chunk chunk(1, begin, 10, kRowBytes);
  ChunkWrite write = chunk.write();
  write.sources = sources;
  must(writer.commit_chunk(write));
}

}  // namespace

TEST_CASE("a list of sources is whole after it grew, changed at its end, and was cut back", "[storage]") {
  constexpr size_t kPiece = schema::kSourcesPieceBytes;
  ListStore store;
  auto writer = must(store.reopen().create("a", kRowBytes, "{}"));
  const std::string id = writer->meta().id;
  const size_t sizes[] = {1, kPiece - 1, kPiece, kPiece + 1, 300 * kPiece + 5};
  int64_t at = 0;
  for (const size_t n_bytes : sizes) {
    for (const char last : {']', '}'}) {
      CAPTURE(n_bytes, last);
      commit(*writer, at, list_of(n_bytes, last));
      at += 10;
      writer.reset();
      CHECK(store.kept() == list_of(n_bytes, last));
      writer = must(store.reopen().open_writer("a"));
      CHECK(writer->meta().sources == list_of(n_bytes, last));
    }
  }
  for (const size_t n_bytes : {size_t(300 * kPiece), size_t(2 * kPiece + 9), size_t(0)}) {
    CAPTURE(n_bytes);
    must(writer->truncate(at -= 10, list_of(n_bytes), "{}"));
    writer.reset();
    CHECK(store.kept() == list_of(n_bytes));
    writer = must(store.reopen().open_writer("a"));
  }
  commit(*writer, at, list_of(2 * kPiece + 3, 'x'));
  must(writer->finish(list_of(2 * kPiece + 3), "{}"));
  writer.reset();
  CHECK(store.kept() == list_of(2 * kPiece + 3));
  CHECK(must(store.reopen().verify({}, {}))[0].n_damages == 0);
}

TEST_CASE("of a growing list of sources a commit writes only what is new", "[storage]") {
  ListStore store;
  auto writer = must(store.reopen().create("a", kRowBytes, "{}"));
  const std::string id = writer->meta().id;
  int64_t at = 0;
  for (const size_t n_bytes : {100'000, 200'000, 400'000}) {
    commit(*writer, at, list_of(n_bytes)), at += 10;
    const int64_t logged = store.logged_by(id, [&] { commit(*writer, at, list_of(n_bytes + 300)); });
    at += 10;
    CAPTURE(n_bytes);
    CHECK(logged > 0);
    CHECK(logged < 3 * int64_t(schema::kSourcesPieceBytes) + 1000);
  }
}

TEST_CASE("a piece of the sources that is damaged or gone is named, and an older program refuses them", "[storage]") {
  const struct {
    void (*damage)(RawDatabase& db);
    const char* says;
  } rows[] = {{[](RawDatabase& db) { db.erase(Family::kManifest, schema::kFirstSourcesBlock + 1); },
               "piece 1 of the list of sources is missing"},
              {[](RawDatabase& db) {
                 std::string value = db.get(Family::kManifest, schema::kFirstSourcesBlock);
                 value[100] ^= 1;
                 db.put(Family::kManifest, schema::kFirstSourcesBlock, value);
               },
               "piece 0 of the list of sources fails its checksum"}};
  for (const auto& row : rows) {
    CAPTURE(row.says);
    ListStore store;
    std::string id;
    {
      auto writer = must(store.reopen().create("a", kRowBytes, "{}"));
      id = writer->meta().id;
      commit(*writer, 0, list_of(10'000));
      must(writer->finish(list_of(10'000), "{}"));
    }
    store.reopen();
    {
      RawDatabase db(store.context_dir(id));
      CHECK(int(db.get(Family::kManifest, schema::kStateBlock)[0]) == schema::kPiecesVersion);
      CHECK(int(db.get(Family::kManifest, schema::kIdentityBlock)[0]) == schema::kFormatVersion);
      row.damage(db);
    }
    const auto reader = store.reopen().open_reader("a");
    CHECK(reader.status().code == Code::kCorrupt);
    CHECK(reader.status().message.find(row.says) != std::string::npos);
  }
}

TEST_CASE("a list of sources goes into an archive and comes out of it whole", "[storage]") {
  ListStore store;
  {
    auto writer = must(store.reopen().create("a", kRowBytes, "{}"));
    commit(*writer, 0, list_of(50'000));
    must(writer->finish(list_of(50'001), "{}"));
  }
  std::string archive;
  must(store.reopen().export_context("a", {}, append_to(archive), {}));
  const auto rename = [](ContextMeta& meta) -> Status {
    meta.name = "b";
    return {};
  };
  must(store.reopen().import_context(source_of(archive), rename, {}));
  CHECK(store.kept("b") == list_of(50'001));
}
