// Many readers over few open contexts.
#include "storage/store/reader_pool.h"

#include <sys/resource.h>

#include <filesystem>

#include "tests/storage/support/store_fixture.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr int64_t kTokens = 50;
constexpr int32_t kRowBytes = 5;

void make_finished(ContextStore& store, const std::string& name, uint64_t seed) {
  auto writer = must(store.create(name, kRowBytes, ""));
  must(writer->commit_chunk(Chunk(seed, 0, kTokens, kRowBytes).write()));
  must(writer->finish("[]", "{}"));
}

int64_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

// This process may have only `n` descriptors for as long as this lives.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t n) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit few{n, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
};

std::vector<std::string> make_many(ContextStore& store, int n) {
  std::vector<std::string> names;
  for (int i = 0; i < n; ++i) {
    names.push_back("c" + std::to_string(i));
    make_finished(store, names.back(), uint64_t(i));
  }
  return names;
}

}  // namespace

TEST_CASE("far more readers than descriptors, each reads its own context, in any order", "[storage]") {
  const TempDir dir;
  MemoryAccount account;
  const FewDescriptors few(64);
  const auto store = must(ContextStore::open(dir.path(), account));
  const auto names = make_many(*store, 30);
  const auto readers = must(store->open_readers(names));
  REQUIRE(readers.size() == names.size());
  CHECK(open_descriptors() < 60);
  for (const size_t step : {size_t{1}, size_t{7}}) {  // one after the other, and all over the place
    for (size_t i = 0; i < readers.size(); ++i) {
      const size_t at = i * step % readers.size();
      const int64_t before = readers[at]->bytes_read();
      const Tokens tokens = must(readers[at]->read_tokens(0, kTokens));
      const Chunk wanted(uint64_t(at), 0, kTokens, kRowBytes);
      CHECK(std::equal(tokens.ids.begin(), tokens.ids.end(), wanted.write().token_ids.begin()));
      CHECK(readers[at]->meta().name == names[at]);
      CHECK(readers[at]->bytes_read() > before);
    }
  }
  CHECK(open_descriptors() < 60);
  CHECK(must(store->find_all(names, Which::kCurrent)).size() == names.size());
  // One that is missing is named.
  const std::vector<std::string> more = {"c1", "none", "c2"};
  CHECK(store->open_readers(more).status().code == Code::kNotFound);
  CHECK(store->open_readers(more).status().message.find("\"none\"") != std::string::npos);
}

TEST_CASE("a reader that was closed for others notices that its context has changed, gone or is being written",
          "[storage]") {
  const TempDir dir;
  MemoryAccount account;
  const auto store = must(ContextStore::open(dir.path(), account));
  const auto names = make_many(*store, int(kMostOpenReaders) + 4);
  const auto readers = must(store->open_readers(names));
  // The first four are closed by now.
  must(must(store->open_writer("c0"))->truncate(0, "", ""));
  CHECK(readers[0]->read_tokens(0, 1).status().code == Code::kBusy);
  CHECK(readers[0]->read_tokens(0, 1).status().message.find("\"c0\" was changed") != std::string::npos);
  must(store->remove("c1"));
  CHECK(readers[1]->read_tokens(0, 1).status().code == Code::kNotFound);
  {
    const auto writer = must(store->open_writer("c2"));
    CHECK(readers[2]->read_tokens(0, 1).status().message.find("being written") != std::string::npos);
  }
  must(readers[3]->read_tokens(0, 1));
  // One that is open keeps its context.
  CHECK(store->remove(names.back()).code == Code::kBusy);
}
