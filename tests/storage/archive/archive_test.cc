// Export and import: the same context comes back, in the same bytes each time, and a damaged or hostile file gives only
// an error.
#include "storage/archive/archive.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <filesystem>
#include <functional>
#include <set>

#include "storage/archive/format.h"
#include "storage/disk/new_file.h"
#include "storage/format/block_codec.h"
#include "storage/format/bytes.h"
#include "tests/storage/support/archive_memory.h"
#include "tests/storage/support/store_fixture.h"

using namespace reform;
using namespace reform::test;
using archive::Section;

namespace {

constexpr auto kSpanSection = Section(kTokenSpans.section), kRowSection = Section(kEmbeddingRows.section);

std::string exported(ContextStore& store, const std::string& name) {
  std::string bytes;
  const ArchiveSummary summary = must(store.export_context(name, {}, append_to(bytes), {}));
  CHECK(summary.bytes == int64_t(bytes.size()));
  CHECK(summary.digest.size() == 32);
  return bytes;
}

// Reads a whole archive without a store.
Status check_archive(const std::string& bytes, MemoryAccount& account) {
  archive::Reader in(source_of(bytes), account);
  TRY_ASSIGN(const auto manifest, read_archive_manifest(in));
  return read_archive_values(in, manifest, [](auto, auto, uint64_t, std::span<const std::byte>) { return Status{}; });
}

std::set<std::string> paths_below(const std::string& dir) {
  std::set<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) paths.insert(entry.path().string());
  // These locks are made when first held, and stay.
  for (const char* lock : {"/locks/store", "/locks/space"}) paths.erase(dir + lock);
  return paths;
}

// A few hundred bytes that contain every kind of section.
std::string small_archive(ContextStore& store, const std::string& name = "small", uint64_t seed = 1) {
  auto writer = must(store.create(name, 3, "{\"policy\":\"h2o\"}"));
  must(writer->commit_chunk(Chunk(seed, 0, 12, 3).write()));
  must(save(*writer, 12, 1, {20, 0}, {12}));
  must(writer->commit_chunk(Chunk(seed, 12, 7, 3).write()));
  must(save(*writer, 19, 2, {33}, {12, 19}));
  must(writer->finish("[\"a.txt\"]", "{\"done\":true}"));
  writer.reset();
  return exported(store, name);
}

}  // namespace

TEST_CASE("export and import: the same tokens, rows, checkpoints and texts, and the same archive again", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto from = must(ContextStore::open(dir.path("from"), account)),
       to = must(ContextStore::open(dir.path("to"), account));
  const std::vector<int64_t> parts = {2'300'001, 0, 31}, few = {5};
  {
    auto writer = must(from->create("first", 272, "{\"policy\":\"h2o\"}"));
    must(writer->commit_chunk(Chunk(4, 0, 9000, 272).write()));
    must(save(*writer, 9000, 1, parts));
    must(writer->commit_chunk(Chunk(4, 9000, 9000, 272).write()));
    must(writer->commit_chunk(Chunk(4, 18000, 77, 272).write()));
    must(save(*writer, 18077, 2, few, {9000, 18077}));
    must(writer->finish("[\"a.txt\"]", "{\"x\":1}"));
  }
  const std::string bytes = exported(*from, "first");
  CHECK(exported(*from, "first") == bytes);
  const auto rename = [](ContextMeta& meta) -> Status {
    CHECK((meta.name == "first" && meta.n_tokens == 18077 && meta.row_bytes == 272));
    meta.name = "second", meta.settings = "{\"policy\":\"none\"}";
    return {};
  };
  const ArchiveSummary summary = must(to->import_context(source_of(bytes), rename, {}));
  CHECK(summary.bytes == int64_t(bytes.size()));

  const ContextEntry entry = must(to->find("second"));
  CHECK((entry.state.ok() && !entry.busy && entry.meta.complete));
  CHECK(entry.meta.id != must(from->find("first")).meta.id);
  CHECK(entry.meta.settings == "{\"policy\":\"none\"}");
  CHECK((entry.meta.sources == "[\"a.txt\"]" && entry.meta.progress == "{\"x\":1}"));
  {
    auto reader = must(to->open_reader("second"));
    must(compare_tokens(*reader, 4));
    must(compare_embeddings(*reader, 4));
    CHECK(must(reader->checkpoints()) == std::vector<int64_t>{9000, 18077});
    must(compare_checkpoint(*reader, 9000, 1, parts));
    must(compare_checkpoint(*reader, 18077, 2, few));
  }
  CHECK(must(to->verify({}, {})).at(0).n_damages == 0);
  // Under the old name and settings it exports to the same bytes; then it can be appended to.
  must(to->import_context(source_of(bytes), {}, {}));
  CHECK(exported(*to, "first") == bytes);
  auto writer = must(to->open_writer("second"));
  must(writer->truncate(9000, "[]", "{}"));
  must(writer->commit_chunk(Chunk(4, 9000, 11, 272).write()));
  must(writer->finish("[]", "{}"));
  must(compare_tokens(*writer, 4));
}

TEST_CASE("export: how a context came about leaves no trace in the file", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path("a"), account)),
       other = must(ContextStore::open(dir.path("b"), account));
  const std::string bytes = small_archive(*store);
  {
    auto writer = must(other->create("small", 3, "{\"policy\":\"h2o\"}"));
    must(writer->commit_chunk(Chunk(9, 0, 12, 3).write()));
    must(save(*writer, 12, 7, {1000}));
    must(writer->truncate(0, "[]", "{}"));
    must(writer->commit_chunk(Chunk(1, 0, 12, 3).write()));
    must(save(*writer, 12, 1, {20, 0}));
  }
  {
    auto writer = must(other->open_writer("small"));
    must(writer->commit_chunk(Chunk(1, 12, 7, 3).write()));
    must(writer->commit_chunk(Chunk(1, 19, 7, 3).write()));
    must(writer->truncate(19, "[]", "{}"));
    must(save(*writer, 19, 3, {44}, {12}));
    must(save(*writer, 19, 2, {33}, {12}));
    must(writer->finish("[]", "{\"done\":false}"));
    must(writer->finish("[\"a.txt\"]", "{\"done\":true}"));
  }
  CHECK(exported(*other, "small") == bytes);
}

TEST_CASE("export: only what is finished and there, import: only under a free name", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  const std::string bytes = small_archive(*store);
  CHECK(store->export_context("nobody", {}, append_to(*std::make_unique<std::string>()), {}).status().code ==
        Code::kNotFound);
  {
    auto writer = must(store->create("half", 3, ""));
    must(writer->commit_chunk(Chunk(1, 0, 5, 3).write()));
    std::string none;
    CHECK(store->export_context("half", {}, append_to(none), {}).status().code == Code::kBusy);
    writer.reset();
    const Status half = store->export_context("half", {}, append_to(none), {}).status();
    CHECK(half.code == Code::kBusy);
    CHECK(half.message.find("not finished") != std::string::npos);
    CHECK(none.empty());
  }
  // Under its own name it is the same context, under another one it is not that one.
  CHECK(must(store->import_context(source_of(bytes), {}, {})).unchanged);
  small_archive(*store, "other", 5);
  for (const char* name : {"other", "half"}) {
    const auto rename = [&](ContextMeta& meta) { return meta.name = name, Status{}; };
    const Status taken = store->import_context(source_of(bytes), rename, {}).status();
    CHECK(taken.code == Code::kExists);
    CHECK(taken.message.find(fmt::format("\"{}\"", name)) != std::string::npos);
  }
  std::string cut = bytes;
  cut.pop_back();
  CHECK(store->import_context(source_of(cut), {}, {}).status().code == Code::kCorrupt);
  const auto before = paths_below(dir.path());
  for (const std::string& bad : {std::string(), std::string("a\nb"), std::string("\xff")}) {
    const auto rename = [&](ContextMeta& meta) { return meta.name = bad, Status{}; };
    CHECK(store->import_context(source_of(bytes), rename, {}).status().code == Code::kUsage);
  }
  const auto refuse = [](ContextMeta&) { return Status{Code::kWrongModel, "another"}; };
  CHECK(store->import_context(source_of(bytes), refuse, {}).status().code == Code::kWrongModel);
  CHECK(paths_below(dir.path()) == before);
}

TEST_CASE("import: where another took the name meanwhile, it is the same context, another one, or busy", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  const std::string bytes = small_archive(*store);
  const auto import_beside = [&](const std::string& name, std::function<void()> once) {
    const auto rename = [&](ContextMeta& meta) { return meta.name = name, Status{}; };
    return store->import_context(source_of(bytes), rename, [&](auto...) {
      if (once) std::exchange(once, nullptr)();
      return Status{};
    });
  };
  CHECK(must(import_beside("same", [&] { must(import_beside("same", {})); })).unchanged);
  CHECK(import_beside("other", [&] { small_archive(*store, "other", 5); }).status().code == Code::kExists);
  std::unique_ptr<ContextWriter> writer;
  const Status held = import_beside("held", [&] { writer = must(store->create("held", 3, "{}")); }).status();
  CHECK(held.code == Code::kBusy);
  CHECK(held.message.find("\"held\" is being written by process") != std::string::npos);
  CHECK(import_beside("held", {}).status().code == Code::kBusy);
}

TEST_CASE("import: cut off anywhere or with any byte changed, an archive is kCorrupt, never more", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  const std::string good = small_archive(*store);
  REQUIRE(good.size() < 1500);
  must(check_archive(good, account));
  for (size_t at = 0; at < good.size(); ++at) {
    INFO("byte " << at << " of " << good.size());
    const Status cut = check_archive(good.substr(0, at), account);
    CHECK(cut.code == Code::kCorrupt);
    for (const int bit : {0, 3, 7}) {
      std::string bad = good;
      bad[at] = char(bad[at] ^ 1 << bit);
      const Status changed = check_archive(bad, account);
      CHECK(changed.code == Code::kCorrupt);
      CHECK_FALSE(changed.message.empty());
    }
  }
  CHECK(check_archive(good + '\0', account).message.find("goes on after its end") != std::string::npos);
  CHECK(check_archive(good + good, account).code == Code::kCorrupt);
}

TEST_CASE("import: whatever goes wrong, nothing stays in the store", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path("to"), account));
  std::string good;
  {
    auto from = must(ContextStore::open(dir.path("from"), account));
    good = small_archive(*from);
  }
  const auto before = paths_below(dir.path("to"));
  const int64_t memory = account.current_total_bytes();
  for (size_t at = 0; at < good.size(); at += good.size() / 23) {
    INFO("byte " << at << " of " << good.size());
    std::string bad = good;
    bad[at] = char(bad[at] ^ 16);
    CHECK(store->import_context(source_of(bad), {}, {}).status().code == Code::kCorrupt);
    CHECK(store->import_context(source_of(good.substr(0, at)), {}, {}).status().code == Code::kCorrupt);
    // The source fails; then the user stops it.
    const auto failing = [inner = source_of(good),
                          left = int64_t(at)](std::span<std::byte> buffer) mutable -> Result<int64_t> {
      TRY_ASSIGN(const int64_t n, inner(buffer));
      left -= n;
      if (left < 0) return Status{Code::kIo, "unplugged"};
      return n;
    };
    CHECK(store->import_context(failing, {}, {}).status().message == "unplugged");
    int calls = 0;
    const auto stop = [&](const std::string&, int64_t, int64_t) {
      return ++calls > int(at % 5) ? Status{Code::kCancelled, "stopped"} : Status{};
    };
    CHECK(store->import_context(source_of(good), {}, stop).status().code == Code::kCancelled);
    CHECK(paths_below(dir.path("to")) == before);
  }
  CHECK(account.current_total_bytes() == memory);
  must(store->import_context(source_of(good), {}, {}));
  CHECK(exported(*store, "small") == good);
}

namespace {

// An archive assembled section by section, with right checksums whatever it says.
class Forgery {
 public:
  Forgery() : out_(append_to(bytes_)) { must(out_.begin()); }
  Forgery& add(Section kind, uint64_t number, const std::string& payload) {
    must(out_.add(kind, number, as_bytes(payload)));
    return *this;
  }
  Forgery& manifest(const archive::Manifest& m) { return add(Section::kManifest, 0, archive::encode_manifest(m)); }
  std::string end() {
    must(out_.end());
    return bytes_;
  }

 private:
  std::string bytes_;
  archive::Writer out_;
};

archive::Manifest manifest_of(int64_t chunk_tokens, int64_t n_chunks, int64_t n_bytes) {
  archive::Manifest m;
  m.identity.name = "forged", m.identity.settings = m.state.sources = m.state.progress = "{}";
  m.identity.row_bytes = 3, m.identity.block_tokens = 4096, m.state.n_bytes = n_bytes;
  m.state.blocks = BlockMap(4096);
  m.state.blocks.append_chunks(chunk_tokens, n_chunks);
  return m;
}

std::string spans_of(int64_t begin_byte, size_t n) {
  return encode_spans(begin_byte, std::vector<int32_t>(n, 5), std::vector<uint32_t>(n, 2));
}

struct Hostile {
  const char* what;
  std::function<std::string()> make;
  const char* says;
};

std::string with_manifest(const std::function<void(archive::Manifest&)>& change) {
  archive::Manifest m = manifest_of(4, 1, 8);
  change(m);
  return Forgery().manifest(m).add(kSpanSection, 0, spans_of(0, 4)).add(kRowSection, 0, "123456789012").end();
}

std::string raw_header(uint16_t version) {
  std::string bytes = Forgery().end();
  bytes[8] = char(version), bytes[9] = char(version >> 8);
  return bytes;
}

const Hostile kHostile[] = {
    {"nothing at all", [] { return std::string(); }, "is empty"},
    {"a text", [] { return std::string(5000, 'x'); }, "no export"},
    {"a short text", [] { return std::string("hello"); }, "no export"},
    {"a copy in text mode", [] { return "\x89RFM\n\x1a\n" + std::string(100, '\0'); }, "no export"},
    {"a newer version", [] { return raw_header(2); }, "has archive version 2, this program reads up to 1"},
    {"an older version", [] { return raw_header(0); }, "has archive version 0, this program reads 1"},
    {"no manifest", [] { return Forgery().add(kSpanSection, 0, "x").end(); }, "where its manifest should be"},
    {"nothing but its end", [] { return Forgery().end(); }, "has end where its manifest should be"},
    {"more tokens than can be",
     [] { return with_manifest([](auto& m) { m.state.blocks.append_chunks(int64_t{1} << 41, 1); }); },
     "manifest holds impossible values"},
    {"as many tokens as can be, and none there",
     [] { return Forgery().manifest(manifest_of(4096, int64_t{1} << 28, 1)).end(); },
     "where its token block 0 should be"},
    {"a huge chunk, and nothing there", [] { return Forgery().manifest(manifest_of(int64_t{1} << 40, 1, 1)).end(); },
     "where its token block 0 should be"},
    {"rows of no bytes", [] { return with_manifest([](auto& m) { m.identity.row_bytes = 0; }); }, "impossible"},
    {"rows of negative bytes", [] { return with_manifest([](auto& m) { m.identity.row_bytes = -3; }); }, "impossible"},
    {"rows too long", [] { return with_manifest([](auto& m) { m.identity.row_bytes = (1 << 20) + 1; }); },
     "impossible"},
    {"blocks too long", [] { return with_manifest([](auto& m) { m.identity.block_tokens = 5000; }); }, "impossible"},
    {"negative bytes", [] { return with_manifest([](auto& m) { m.state.n_bytes = -1; }); }, "impossible"},
    {"a checkpoint after no chunk", [] { return with_manifest([](auto& m) {
                                           m.state.checkpoints = {{3, 1, 5}};
                                         }); },
     "impossible"},
    {"a checkpoint past the end", [] { return with_manifest([](auto& m) {
                                         m.state.checkpoints = {{5, 1, 5}};
                                       }); },
     "impossible"},
    {"a checkpoint twice", [] { return with_manifest([](auto& m) {
                                  m.state.checkpoints = {{4, 1, 5}, {4, 1, 5}};
                                }); },
     "impossible"},
    {"a checkpoint too large",
     [] { return with_manifest([](auto& m) {
            m.state.checkpoints = {{4, 1, int64_t{1} << 60}};
          }); }, "impossible"},
    {"a large checkpoint that is not there",
     [] { return with_manifest([](auto& m) {
            m.state.checkpoints = {{4, 1, int64_t{1} << 43}};
          }); },
     "where its checkpoint index at 4 tokens should be"},
    {"a manifest that goes on",
     [] { return Forgery().add(Section::kManifest, 0, archive::encode_manifest(manifest_of(4, 1, 8)) + "x").end(); },
     "impossible"},
    {"a manifest too long",
     [] { return Forgery().add(Section::kManifest, 0, std::string((16 << 20) + 1, '\0')).end(); },
     "manifest has 16777217 bytes"},
    {"another text's length", [] { return with_manifest([](auto& m) { m.state.n_bytes = 9; }); }, "end at byte 8"},
    {"a token block that leaves a gap",
     [] {
       return Forgery()
           .manifest(manifest_of(4, 2, 16))
           .add(kSpanSection, 0, spans_of(0, 4))
           .add(kSpanSection, 4, spans_of(9, 4))
           .end();
     },
     "token block 4 does not follow"},
    {"a token block of other tokens",
     [] { return Forgery().manifest(manifest_of(4, 1, 8)).add(kSpanSection, 0, spans_of(0, 3)).end(); },
     "token block 0 is not a block of 4 tokens"},
    {"a token block twice",
     [] {
       return Forgery()
           .manifest(manifest_of(4, 2, 16))
           .add(kSpanSection, 0, spans_of(0, 4))
           .add(kSpanSection, 0, spans_of(0, 4))
           .end();
     },
     "has token block 0 where its token block 4 should be"},
    {"rows too few",
     [] {
       return Forgery()
           .manifest(manifest_of(4, 1, 8))
           .add(kSpanSection, 0, spans_of(0, 4))
           .add(kRowSection, 0, "12345678901")
           .end();
     },
     "embedding block 0 has 11 bytes"},
    {"an index of more than its bytes",
     [] {
       archive::Manifest m = manifest_of(4, 1, 8);
       m.state.checkpoints = {{4, 1, 5}};
       return Forgery()
           .manifest(m)
           .add(kSpanSection, 0, spans_of(0, 4))
           .add(kRowSection, 0, "123456789012")
           .add(Section::kCheckpointIndex, 4, std::string("\x01\x01x\x06", 4))
           .end();
     },
     "checkpoint index at 4 tokens does not fit"},
    {"a piece of another length",
     [] {
       archive::Manifest m = manifest_of(4, 1, 8);
       m.state.checkpoints = {{4, 1, 5}};
       return Forgery()
           .manifest(m)
           .add(kSpanSection, 0, spans_of(0, 4))
           .add(kRowSection, 0, "123456789012")
           .add(Section::kCheckpointIndex, 4, std::string("\x01\x01x\x05", 4))
           .add(Section::kCheckpointPiece, 1, "123456")
           .end();
     },
     "checkpoint piece 1 has 6 bytes"},
    {"a section too many",
     [] {
       return Forgery()
           .manifest(manifest_of(4, 1, 8))
           .add(kSpanSection, 0, spans_of(0, 4))
           .add(kRowSection, 0, "123456789012")
           .add(kRowSection, 4, "123")
           .end();
     },
     "has embedding block 4 where its end should be"},
    {"sections of two archives",
     [] {
       std::string bytes = with_manifest([](auto&) {}),
                   other = with_manifest([](auto&m) { m.identity.settings = "[]"; });
       return other.substr(0, 100) + bytes.substr(100);
     },
     "fails the checksum over all of it"},
};

}  // namespace

TEST_CASE("import: a hostile archive with right checksums is refused, naming the part, in little memory", "[storage]") {
  TempDir dir;
  MemoryAccount account(int64_t{64} << 20);
  for (const Hostile& hostile : kHostile) {
    INFO(hostile.what);
    const Status status = check_archive(hostile.make(), account);
    INFO(status.message);
    CHECK(status.code == Code::kCorrupt);
    CHECK(status.message.find(hostile.says) != std::string::npos);
  }
  CHECK(account.peak_total_bytes() < int64_t{2} << 20);
  must(check_archive(with_manifest([](auto&) {}), account));
}

TEST_CASE("export and import: memory stays the same however long the text", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  {
    auto writer = must(store->create("long", 1000, ""));
    for (int64_t begin = 0; begin < 40'000; begin += 8'000)
      must(writer->commit_chunk(Chunk(1, begin, 8'000, 1000).write()));
    must(save(*writer, 40'000, 1, {30'000'000}));
    must(writer->finish("", ""));
  }
  MemoryAccount small;
  auto again = must(ContextStore::open(dir.path(), small));
  std::string bytes;
  must(again->export_context("long", {}, append_to(bytes), {}));
  CHECK(bytes.size() > 70'000'000);
  CHECK(small.peak_total_bytes() <= planned_store_bytes(0, 1) + 8 * kMiB);
  const auto rename = [](ContextMeta& meta) { return meta.name = "again", Status{}; };
  must(again->import_context(source_of(std::move(bytes)), rename, {}));
  CHECK(small.peak_total_bytes() <= planned_store_bytes(1, 1) + 16 * kMiB);
  auto reader = must(again->open_reader("again"));
  must(compare_embeddings(*reader, 1));
  must(compare_checkpoint(*reader, 40'000, 1, {30'000'000}));
}
