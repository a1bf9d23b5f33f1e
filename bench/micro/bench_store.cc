// Reading a stored context as an ask does, cold: each case is one pass by a fresh reader, after the page cache has been
// told to drop the files. One JSON object per pass and line.
//
//   scan         reads every embedding block and does nothing with it
//   score        scores as many rows from memory
//   scan_score   both, as an ask does
//   gather       the token spans of an 8k-token gather: runs of 65 tokens all over the text
//
// --io=plain uses RocksDB's own file system, as if io_uring were refused. --tiny is the smoke run.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "kernels/device.h"
#include "runtime/compress/embedding.h"
#include "runtime/gather/gather.h"
#include "runtime/gather/scorer.h"
#include "storage/disk/disk.h"
#include "storage/disk/files.h"
#include "storage/store/context_store.h"

namespace reform::bench {
namespace {

constexpr EmbeddingLayout kLayout{4, 64};  // as in the tested models with 64-wide heads
constexpr int64_t kChunkTokens = 4096, kQuestionTokens = 16, kGatherTokens = 8192, kPassageTokens = 65;
constexpr const char* kName = "bench";

struct Options {
  std::string dir, io = "auto", which = "all";
  int64_t bytes = int64_t{3} << 29;
  int runs = 3, threads = 0;
  bool tiny = false, make_only = false;
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<std::byte> random_rows(int64_t n_rows, uint64_t seed) {
  std::minstd_rand random{std::minstd_rand::result_type(seed)};
  std::vector<std::byte> rows(size_t(n_rows * kLayout.row_bytes()));
  for (int64_t r = 0; r < n_rows; ++r) {
    std::byte* row = rows.data() + r * kLayout.row_bytes();
    for (int64_t i = 0; i < kLayout.value_bytes(); ++i) row[i] = std::byte(int8_t(int(random() % 255) - 127));
    for (int64_t h = 0; h < kLayout.n_heads; ++h) {
      const float scale = 0.001f;
      std::memcpy(row + kLayout.value_bytes() + h * 4, &scale, 4);
    }
  }
  return rows;
}

Status make_context(ContextStore& store, int64_t n_tokens) {
  TRY_ASSIGN(auto writer, store.create(kName, int32_t(kLayout.row_bytes()), "{}"));
  std::vector<std::byte> rows = random_rows(kChunkTokens, 1);
  std::vector<int32_t> ids(kChunkTokens);
  const std::vector<uint32_t> lengths(kChunkTokens, 4);
  for (int64_t begin = 0; begin < n_tokens; begin += kChunkTokens) {
    for (int64_t t = 0; t < kChunkTokens; ++t) ids[size_t(t)] = int32_t((begin + t) * 7919 % 150'000);
    rows[size_t(begin / kChunkTokens) % rows.size()] ^= std::byte{1};
    TRY(writer->commit_chunk({begin, ids, lengths, {{kEmbeddingRows.name, rows}}, "[]", "{}"}));
  }
  return writer->finish("[]", "{}");
}

// Only clean pages can be dropped, so dirty ones are written first. As root it also drops the directories' blocks.
void drop_page_cache(const std::string& dir) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (!entry.is_regular_file()) continue;
    const FileDescriptor file(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) continue;
    (void)::fdatasync(file.get());
    (void)::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  std::ofstream("/proc/sys/vm/drop_caches") << "1";
}

// Does with each block what an ask does.
class Scoring {
 public:
  Scoring(int n_threads, int64_t n_tokens)
      : pool_(n_threads),
        device_(make_cpu_device(best_isa(), pool_, account_)),
        gatherer_(kGatherTokens, kPassageTokens) {
    const OpLimits limits = Scorer::limits(kLayout, kQuestionTokens);
    workspace_ =
        must(Buffer<std::byte>::create(account_, MemoryCategory::kWorkspace, device_->workspace_bytes(limits)));
    ops_ = device_->make_ops(limits, workspace_.span());
    const int64_t block_tokens = std::max<int64_t>(kChunkTokens, block_tokens_for(int32_t(kLayout.row_bytes())));
    scorer_ = must(Scorer::create({*device_, ops_.get(), account_}, kLayout, kQuestionTokens, block_tokens));
    CHECK(scorer_->set_question(random_rows(kQuestionTokens, 2)).ok());
    gatherer_.begin_context(n_tokens, 256);
  }
  void score(std::span<const std::byte> rows) { gatherer_.add_scores(must(scorer_->score(rows))); }

 private:
  template <class T>
  static T must(Result<T> result) {
    CHECK(result.ok());
    return std::move(result).value();
  }

  MemoryAccount account_;
  ThreadPool pool_;
  std::unique_ptr<Device> device_;
  Buffer<std::byte> workspace_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Scorer> scorer_;
  Gatherer gatherer_;
};

Status pass_scan(ContextData& data, Scoring* scorer, int64_t& bytes) {
  return data.scan(kEmbeddingRows, [&](TokenRange, std::span<const std::byte> rows) -> Status {
    bytes += int64_t(rows.size());
    if (scorer != nullptr) scorer->score(rows);
    return {};
  });
}

void pass_score(Scoring& scorer, std::span<const std::byte> rows, int64_t n_tokens, int64_t& bytes) {
  const int64_t block_bytes = kChunkTokens * kLayout.row_bytes();
  for (int64_t begin = 0, i = 0; begin < n_tokens; begin += kChunkTokens, ++i) {
    scorer.score(rows.subspan(size_t(i % 64 * block_bytes), size_t(block_bytes)));
    bytes += block_bytes;
  }
}

Status pass_gather(ContextData& data, uint64_t seed, int64_t& bytes) {
  std::mt19937_64 random(seed);
  std::vector<TokenRange> ranges;
  const auto n_tokens = uint64_t(data.meta().n_tokens);
  for (int64_t n = 0; n < kGatherTokens; n += kPassageTokens) {
    const auto begin = int64_t(random() % (n_tokens - uint64_t(kPassageTokens)));
    ranges.push_back({begin, begin + kPassageTokens});
  }
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  TRY_ASSIGN(const auto tokens, data.read_token_ranges(ranges));
  for (const Tokens& t : tokens) bytes += int64_t(t.ids.size()) * 4;
  return {};
}

Status run_case(const Options& options, const std::string& which, const std::string& io, int run) {
  MemoryAccount account;
  const auto disk = io == "plain" ? Disk::plain() : Disk::fastest(options.dir);
  TRY_ASSIGN(auto store, ContextStore::open(options.dir, account, disk));
  drop_page_cache(options.dir);
  TRY_ASSIGN(auto data, store->open_reader(kName));
  const int64_t n_tokens = data->meta().n_tokens;
  Scoring scorer(options.threads, n_tokens);
  // Larger than the caches, like blocks that come from the disk.
  const auto rows = random_rows(which == "score" ? 64 * kChunkTokens : 0, 3);
  int64_t bytes = 0;
  const double start = seconds_now();
  if (which == "scan") TRY(pass_scan(*data, nullptr, bytes));
  if (which == "scan_score") TRY(pass_scan(*data, &scorer, bytes));
  if (which == "score") pass_score(scorer, rows, n_tokens, bytes);
  if (which == "gather") TRY(pass_gather(*data, uint64_t(run) + uint64_t(start * 1e6), bytes));
  const double seconds = seconds_now() - start;
  fmt::print(R"({{"case":"{}","io":"{}","disk":"{}","bytes":{},"ms":{:.3f},"mb_per_s":{:.1f}}})"
             "\n",
             which, io, disk->description(), bytes, seconds * 1e3, double(bytes) / seconds / 1e6);
  std::fflush(stdout);
  return {};
}

Status run(Options options) {
  const bool temporary = options.dir.empty();
  if (temporary) {
    std::string pattern = (std::filesystem::current_path() / "bench-store-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) return os_error("make", pattern, errno);
    options.dir = pattern;
  }
  if (options.tiny) options.bytes = 16 << 20, options.runs = 1;
  const auto work = [&]() -> Status {
    {
      MemoryAccount account;
      TRY_ASSIGN(auto store, ContextStore::open(options.dir, account));
      if (!store->find(kName).ok()) TRY(make_context(*store, options.bytes / kLayout.row_bytes()));
    }
    if (options.make_only) return {};
    for (const std::string which : {"scan", "score", "scan_score", "gather"}) {
      for (int run = 0; run < options.runs; ++run) {
        for (const std::string io : {"uring", "plain"}) {
          if ((options.which != "all" && options.which != which) || (options.io != "auto" && options.io != io))
            continue;
          TRY(run_case(options, which, io, run));
        }
      }
    }
    return {};
  };
  const Status done = work();
  std::error_code ignored;
  if (temporary) std::filesystem::remove_all(options.dir, ignored);
  return done;
}

}  // namespace
}  // namespace reform::bench

int main(int argc, char** argv) {
  reform::bench::Options options;
  CLI::App app("Reads a stored context, cold");
  app.add_option("--store", options.dir, "where the context is, or is made; else it is made here and removed");
  app.add_option("--io", options.io, "uring or plain; both")->check(CLI::IsMember({"auto", "uring", "plain"}));
  app.add_option("--case", options.which, "one of the cases")
      ->check(CLI::IsMember({"all", "scan", "score", "scan_score", "gather"}));
  app.add_option("--bytes", options.bytes, "of embeddings, when it is made")->check(CLI::PositiveNumber);
  app.add_option("--runs", options.runs);
  app.add_option("--threads", options.threads, "that score; 0: one per core");
  app.add_flag("--make", options.make_only, "only makes the context");
  app.add_flag("--tiny", options.tiny);
  CLI11_PARSE(app, argc, argv);
  const reform::Status done = reform::bench::run(options);
  if (!done.ok()) std::fprintf(stderr, "bench_store: %s\n", done.message.c_str());
  return done.ok() ? 0 : 1;
}
