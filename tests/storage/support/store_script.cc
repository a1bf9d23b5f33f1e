#include "tests/storage/support/store_script.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include "storage/disk/new_file.h"
#include "tests/storage/support/archive_memory.h"

namespace reform::test {
namespace {

constexpr int64_t kChunk = 40, kShort = 200;
constexpr const char* kSources = "[\"a.txt\"]";

std::string progress_at(int64_t n_tokens) { return std::to_string(n_tokens); }
// After every second chunk, counted from the beginning, so that a resume makes the same ones wherever it starts.
bool is_checkpoint(int64_t n_tokens, const Text& text) {
  return n_tokens / kChunk % 2 == 0 || n_tokens == text.n_tokens;
}

}  // namespace

Status Session::open() {
  TRY_ASSIGN(store_, ContextStore::open(dir_, account_, disk_));
  return {};
}

Result<std::unique_ptr<ContextWriter>> Session::open_or_create(const Text& text, Which which) {
  auto opened = store_->open_writer(text.name, which);
  if (opened.status().code != Code::kNotFound) return opened;
  oracle_.may_become([&](ExpectedStore& store) { store[{text.name, which}] = {text.seed, 0, false, "", {}}; });
  auto made = store_->create(text.name, kOracleRowBytes, settings_of(text.seed), which);
  if (made.ok()) oracle_.is_saved();
  return made;
}

Status Session::write(const Text& text, Which which) {
  TRY_ASSIGN(const auto writer, open_or_create(text, which));
  const ContextMeta& meta = writer->meta();
  if (meta.complete && meta.n_tokens == text.n_tokens) return finish(*writer, text, which);
  TRY_ASSIGN(const auto checkpoints, writer->checkpoints());
  int64_t start = 0;
  for (const int64_t n : checkpoints) {
    // An append does not continue from the text's end, which it may change.
    if (n % kChunk == 0 && n <= text.n_tokens) start = std::max(start, n);
  }
  if (meta.n_tokens != start || meta.complete) TRY(go_back(*writer, text, which, start));
  TRY(write_chunks(*writer, text, which, start, text.n_tokens));
  return finish(*writer, text, which);
}

Status Session::begin(const Text& text, int64_t n_tokens) {
  TRY_ASSIGN(const auto writer, open_or_create(text, Which::kCurrent));
  return write_chunks(*writer, text, Which::kCurrent, 0, n_tokens);
}

Status Session::go_back(ContextWriter& writer, const Text& text, Which which, int64_t start) {
  oracle_.may_become([&](ExpectedStore& store) {
    ExpectedContext& context = store[{text.name, which}];
    context.n_tokens = start;
    context.complete = false;
    context.progress = progress_at(start);
    std::erase_if(context.checkpoints, [&](int64_t n) { return n > start; });
  });
  TRY(writer.truncate(start, kSources, progress_at(start)));
  oracle_.is_saved();
  return {};
}

Status Session::write_chunks(ContextWriter& writer, const Text& text, Which which, int64_t start, int64_t end) {
  for (int64_t at = start; at < end;) {
    const int64_t n = std::min(kChunk, text.n_tokens - at);
    const Chunk chunk(text.seed, at, n, kOracleRowBytes, progress_at(at + n));
    at += n;
    oracle_.may_become([&](ExpectedStore& store) {
      ExpectedContext& context = store[{text.name, which}];
      context.n_tokens = at;
      context.progress = progress_at(at);
    });
    TRY(writer.commit_chunk(chunk.write()));
    if (is_checkpoint(at, text)) TRY(save_checkpoint(writer, text, which, at));
  }
  return {};
}

// Keeps the last one too, as an ingest does for a later append.
Status Session::save_checkpoint(ContextWriter& writer, const Text& text, Which which, int64_t n_tokens) {
  TRY_ASSIGN(const auto present, writer.checkpoints());
  const std::vector<int64_t> keep(present.empty() ? present.end() : present.end() - 1, present.end());
  oracle_.may_become([&](ExpectedStore& store) {
    ExpectedContext& context = store[{text.name, which}];
    context.checkpoints = {keep.begin(), keep.end()};
    context.checkpoints.insert(n_tokens);
  });
  TRY(save(writer, n_tokens, part_seed(text.seed, n_tokens), kOraclePartBytes, keep));
  oracle_.is_saved();
  return {};
}

// Also for a complete context: it may have stopped between that and replacing another.
Status Session::finish(ContextWriter& writer, const Text& text, Which which) {
  TRY_ASSIGN(std::vector<int64_t> dropped, writer.checkpoints());
  // Short texts keep the last one only, as an ingest does.
  std::erase_if(dropped, [&](int64_t n) { return text.n_tokens > kShort || n == text.n_tokens; });
  oracle_.may_become([&](ExpectedStore& store) {
    ExpectedContext& context = store[{text.name, which}];
    context.complete = true;
    context.progress = "done";
    for (const int64_t n : dropped) context.checkpoints.erase(n);
  });
  oracle_.may_become([&](ExpectedStore& store) {  // a replacement takes over
    const ExpectedContext context = store[{text.name, which}];
    store.erase({text.name, which});
    store[{text.name, Which::kCurrent}] = context;
  });
  TRY(writer.finish(kSources, "done", dropped));
  oracle_.is_saved();
  return {};
}

Status Session::replace(const Text& text) {
  const auto current = store_->find(text.name);
  const bool done = current.ok() && current.value().meta.settings == settings_of(text.seed);
  if (!done) TRY(write(text, Which::kReplacement));
  return store_->remove_replaced();
}

Status Session::remove(const std::string& name) {
  oracle_.may_become([&](ExpectedStore& store) { store.erase({name, Which::kReplacement}); });
  oracle_.may_become([&](ExpectedStore& store) { store.erase({name, Which::kCurrent}); });
  const Status removed = store_->remove(name);
  if (removed.code == Code::kNotFound) return {};
  if (removed.ok()) oracle_.is_saved();
  return removed;
}

Status Session::list() {
  TRY(store_->list());
  return {};
}

Status Session::read(const std::string& name) {
  TRY_ASSIGN(const auto data, store_->open_reader(name));
  return oracle_.check_bytes(*data, oracle_.newest().at({name, Which::kCurrent}));
}

Status Session::verify() {
  TRY_ASSIGN(const auto verdicts, store_->verify({}, {}));
  for (const ContextVerdict& verdict : verdicts) {
    if (verdict.n_damages > 0) return verdict.damages.front();
  }
  return {};
}

namespace {

std::string archive_of(const Text& text) {
  const TempDir dir;
  Oracle oracle;
  Session session(dir.path(), Disk::plain(), oracle);
  must(session.open());
  must(session.write(text));
  std::string bytes;
  must(session.store().export_context(text.name, {}, append_to(bytes), {}));
  return bytes;
}

}  // namespace

Status Session::export_to_file(const std::string& name) {
  const std::string path = dir_ + ".exported";
  std::ifstream before(path, std::ios::binary);
  const bool was_there = before.good();
  const std::string old_bytes{std::istreambuf_iterator<char>(before), {}};
  std::string bytes;
  TRY_ASSIGN(auto file, NewFile::create(store_->disk(), path, /*replace=*/true, NewFile::Draft::kNamed));
  TRY(store_->export_context(name, {},
                             [&](std::span<const std::byte> more) -> Status {
                               bytes.append(reinterpret_cast<const char*>(more.data()), more.size());
                               return file.append(more);
                             },
                             {}));
  if (was_there && old_bytes != bytes) return {Code::kInternal, "an export was there, and not whole"};
  return file.commit();
}

Status Session::import(const Text& text) {
  static const std::string archive = archive_of(text);
  oracle_.may_become([&](ExpectedStore& store) {
    store[{text.name, Which::kCurrent}] = {text.seed, text.n_tokens, true, "done", {160, text.n_tokens}};
  });
  size_t at = 0;
  const auto imported = store_->import_context(
      [&](std::span<std::byte> buffer) -> Result<int64_t> {
        const size_t n = std::min(buffer.size(), archive.size() - at);
        std::memcpy(buffer.data(), archive.data() + at, n);
        at += n;
        return int64_t(n);
      },
      {}, {});
  if (imported.status().code == Code::kExists) return {};
  TRY(imported);
  oracle_.is_saved();
  return {};
}

Status Session::evict(const std::string& name, const std::string& pinned) {
  oracle_.may_become([&](ExpectedStore& store) { store.erase({name, Which::kCurrent}); });
  const Status there = store_->find(name).status();
  if (there.code == Code::kNotFound) return {};
  TRY(there);
  TRY(store_->set_pinned(pinned, true));
  // About as much as opening a writer claims, so that little is lacking.
  TRY(store_->set_limit({store_->used_bytes() + (int64_t{2} << 20) + (140 << 10), /*evict=*/true}));
  TRY(store_->open_writer(pinned));
  oracle_.is_saved();
  return {};
}

const Text kBook{"book", 1, 217};

namespace {

const Text kOther{"other", 9, 57}, kLonger{"book", 1, 300}, kNew{"book", 2, 130};

Status ingest(Session& s) { return s.write(kBook); }
Status append(Session& s) { return s.write(kLonger); }
Status replace(Session& s) { return s.replace(kNew); }
Status remove(Session& s) { return s.remove("book"); }
Status read(Session& s) {
  TRY(s.list());
  return s.read("book");
}

Status verify(Session& s) { return s.verify(); }
Status export_book(Session& s) { return s.export_to_file("book"); }
Status evict(Session& s) { return s.evict("other", "book"); }
Status import_book(Session& s) { return s.import(kBook); }

}  // namespace

const std::vector<Scenario> kScenarios = {
    {"a first ingest", {}, ingest, true},     {"ingest", {kOther}, ingest},
    {"append", {kOther, kBook}, append},      {"replace", {kOther, kBook}, replace},
    {"remove", {kOther, kBook}, remove},      {"read", {kOther, kBook}, read},
    {"resume", {kOther}, ingest, false, 200}, {"verify", {kOther, kBook}, verify},
    {"export", {kOther, kBook}, export_book}, {"import", {kOther}, import_book},
    {"evict", {kOther, kBook}, evict},        {"remove in place", {kOther, kBook}, remove, false, 0, false},
};

}  // namespace reform::test
