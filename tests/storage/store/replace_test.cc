// A context is replaced in one instant, when the new one is finished. Before that nothing of the old one is touched.
#include <algorithm>

#include "tests/storage/support/store_fixture.h"
#include "tests/storage/support/watched_disk.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr int64_t kRowBytes = 37, kChunk = 50;

struct Bench {
  TempDir dir;
  MemoryAccount account;
  std::shared_ptr<const Disk> disk;
  std::unique_ptr<ContextStore> store = must(ContextStore::open(dir.path("store"), account, disk));

  void reopen() {
    store.reset();
    store = must(ContextStore::open(dir.path("store"), account, disk));
  }
  std::unique_ptr<ContextWriter> begin(uint64_t seed, Which which) {
    auto writer = must(store->create("book", kRowBytes, "{}", which));
    must(writer->commit_chunk(Chunk(seed, 0, kChunk, kRowBytes).write()));
    return writer;
  }
  void make(uint64_t seed, Which which = Which::kCurrent) { must(begin(seed, which)->finish("[]", "{}")); }
  // Whether the current "book" is the text of `seed`.
  bool is(uint64_t seed) {
    const auto reader = must(store->open_reader("book"));
    return must(reader->read_tokens(0, 1)).ids[0] == token_id(seed, 0) && compare_tokens(*reader, seed).ok();
  }
  // How many contexts the directory holds, whatever list() says.
  int64_t on_disk() const {
    using Iterator = std::filesystem::directory_iterator;
    return std::distance(Iterator(dir.path("store/contexts")), Iterator());
  }
};

}  // namespace

TEST_CASE("replace: the old context answers until the new one is finished, then the new one", "[storage]") {
  Bench b;
  CHECK(b.store->create("book", kRowBytes, "{}", Which::kReplacement).status().code == Code::kNotFound);
  b.make(1);
  CHECK(b.store->find("book", Which::kReplacement).status().code == Code::kNotFound);
  auto writer = b.begin(2, Which::kReplacement);
  CHECK(b.is(1));
  CHECK(b.store->create("book", kRowBytes, "{}", Which::kReplacement).status().code == Code::kBusy);
  CHECK(b.store->create("book", kRowBytes, "{}").status().code == Code::kExists);
  CHECK(must(b.store->find("book", Which::kReplacement)).busy);

  writer.reset();  // interrupted half-way: a new process finds both
  b.reopen();
  CHECK(b.is(1));
  CHECK(b.store->create("book", kRowBytes, "{}", Which::kReplacement).status().code == Code::kExists);
  const auto both = must(b.store->list());
  REQUIRE(both.size() == 2);
  CHECK((!both[0].replacement && both[0].meta.complete));
  CHECK((both[1].replacement && !both[1].meta.complete && both[1].meta.name == "book"));

  writer = must(b.store->open_writer("book", Which::kReplacement));
  must(writer->commit_chunk(Chunk(2, kChunk, kChunk, kRowBytes).write()));
  must(writer->finish("[]", "{}"));
  writer.reset();
  CHECK(b.is(2));
  must(b.store->remove_replaced());
  CHECK(b.on_disk() == 1);
  CHECK(must(b.store->list()).size() == 1);
  CHECK(b.store->find("book", Which::kReplacement).status().code == Code::kNotFound);
}

TEST_CASE("replace: who reads the old context reads on, and it never comes back", "[storage]") {
  Bench b;
  b.make(1);
  auto reader = must(b.store->open_reader("book"));
  b.make(2, Which::kReplacement);
  CHECK(b.store->remove_replaced().code == Code::kBusy);
  CHECK(b.is(2));
  must(compare_tokens(*reader, 1));
  must(compare_embeddings(*reader, 1));

  // An append makes the new context incomplete again, but it stays the current one.
  auto writer = must(b.store->open_writer("book"));
  must(writer->truncate(0, "[]", "{}"));
  CHECK(must(b.store->find("book")).meta.n_tokens == 0);
  must(writer->commit_chunk(Chunk(3, 0, kChunk, kRowBytes).write()));
  writer.reset();
  b.make(4, Which::kReplacement);  // replaced a second time, while the first one is still being read
  CHECK(b.is(4));
  CHECK(b.store->remove("book").code == Code::kBusy);  // else the first one would be current again
  CHECK(b.is(4));
  reader.reset();
  b.reopen();
  CHECK(b.on_disk() == 1);
  must(b.store->remove("book"));
  CHECK(b.on_disk() == 0);
}

TEST_CASE("replace: a replacement can be dropped, and goes with its context", "[storage]") {
  Bench b;
  b.make(1);
  b.begin(2, Which::kReplacement).reset();
  must(b.store->remove("book", Which::kReplacement));
  CHECK(b.is(1));
  auto writer = b.begin(3, Which::kReplacement);
  CHECK(b.store->remove("book").code == Code::kBusy);
  CHECK(b.is(1));
  writer.reset();
  must(b.store->remove("book"));
  CHECK(b.on_disk() == 0);
}

TEST_CASE("replace: where no context can be moved, the old one goes in place, and stays gone half-way", "[storage]") {
  Bench b;
  b.disk = std::make_shared<const Disk>(std::make_shared<UnmovingDisk>(rocksdb::FileSystem::Default()));
  b.reopen();
  b.make(1);
  {
    const auto reader = must(b.store->open_reader("book"));
    b.make(2, Which::kReplacement);
    CHECK(b.store->remove_replaced().code == Code::kBusy);
    must(compare_tokens(*reader, 1));
  }
  must(b.store->remove_replaced());
  CHECK((b.on_disk() == 1 && b.is(2)));

  // As if it had stopped before anything was unlinked: nobody takes the files for a context, and the next start
  // removes them.
  const std::string id = must(b.store->find("book")).meta.id;
  std::filesystem::create_directory(b.dir.path("store/trash/" + id));
  CHECK(must(b.store->list()).empty());
  for (const Status& status : {b.store->find("book").status(), b.store->open_reader("book").status(),
                               b.store->open_writer("book").status(), b.store->remove("book")})
    CHECK(status.code == Code::kNotFound);
  b.make(3);
  CHECK(b.on_disk() == 2);
  b.reopen();
  CHECK((b.on_disk() == 1 && b.is(3)));
  CHECK(std::filesystem::is_empty(b.dir.path("store/trash")));
  must(b.store->remove("book"));
  CHECK(b.on_disk() == 0);
}

TEST_CASE("replace: a replacement whose context is gone has its name", "[storage]") {
  Bench b;
  b.make(1);
  const std::string id = must(b.store->find("book")).meta.id;
  b.begin(2, Which::kReplacement).reset();
  std::filesystem::remove_all(b.dir.path("store/contexts/" + id));  // as somebody's rm -r does
  b.reopen();
  CHECK(b.is(2));
  CHECK_FALSE(must(b.store->find("book")).replacement);
}

TEST_CASE("replace: while a replacement is written, the context it will replace is not", "[storage]") {
  Bench b;
  b.make(1);
  auto writer = b.begin(2, Which::kReplacement);
  CHECK(b.store->open_writer("book").status().code == Code::kBusy);
  CHECK(b.is(1));
  writer.reset();
  CHECK(b.store->open_writer("book").ok());
}

TEST_CASE("replace: a replacement with a damaged ledger does not stand before the sound context", "[storage]") {
  for (int i = 0; i < 8; ++i) {  // ids are random, so either may come first
    Bench b;
    b.make(1);
    const std::string id = b.begin(2, Which::kReplacement)->meta().id;
    std::filesystem::resize_file(b.dir.path("store/contexts/" + id + "/context.json"), 10);
    b.reopen();
    CHECK(b.is(1));
    must(b.store->remove(id));
    CHECK(b.is(1));
  }
}
