#include "tests/runtime/support/ingest_support.h"

#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/jobs/store_impl.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/model_support.h"
#include "tests/runtime/tokenizer/tokenizer_documents.h"

namespace reform::test {
namespace {

constexpr const char* kWords[] = {"the",    "river",   "Müller",  "日本語",
                                  "counts", "of",      "naïve",   "stones",
                                  "😀",      "again,",  "Ω",       "gate",
                                  "is",     "where",   "12",      "4711",
                                  "blue",   "don't",   "Ünïcödé", "👨‍👩‍👧",
                                  "\t",     "   ",     "\n\n\n",  "<b>",
                                  "{}();",  "e\u0301", "ﷺ",       "supercalifragilistic"};
constexpr int64_t kChunkTokens = 64;
constexpr char kHeads[] = R"({"heads": ["q1.1", "k1.0", "v2.1"], "model": "tiny", "fingerprint": ""})";

std::string bytes_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string made_text(uint64_t seed, size_t n_bytes) {
  SplitMix rng(seed);
  std::string text;
  while (text.size() < n_bytes) {
    text += kWords[rng.pick(std::size(kWords))];
    const uint64_t kind = rng.pick(16);
    text += kind == 0 ? fmt::format(" {}.\n", rng.pick(100000)) : kind == 1 ? "" : " ";
  }
  size_t end = n_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  text.append(n_bytes - end, '.');
  return text;
}

IngestBench::IngestBench(int n_threads, const std::string& model, Memory memory, const Weights& weights) {
  // In memory if possible: a store syncs often, and these tests do not test disks.
  const bool in_memory = ::access("/dev/shm", W_OK) == 0;
  const std::filesystem::path place = in_memory ? "/dev/shm" : std::filesystem::temp_directory_path();
  std::string pattern = place / "reform-ingest-XXXXXX";
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  dir_ = pattern;
  EngineOptions options;
  options.n_threads = n_threads;
  if (memory == Memory::kGpu) options.device = "auto", options.max_gpu_memory_bytes = int64_t{1} << 30;
  options.heads_file = dir_ / "heads.json";
  options.cache_dir = dir_ / "cache";
  std::ofstream(options.heads_file) << kHeads;
  const bool is_path = model.ends_with(".gguf") || model.starts_with(kSyntheticModel);
  const std::string path = is_path ? model : tiny_path(model);
  auto engine = Engine::open(path, options);
  REQUIRE(engine.status().message.empty());
  engine_ = std::move(engine).value();
  if (memory == Memory::kFenced) {
    Engine::Impl& impl = engine_->impl();
    move_to(fenced_cpu(impl.isa, *impl.pool, weights.cap_bytes), weights.place);
  }
  auto store = Store::open(dir_ / "store");
  REQUIRE(store.status().message.empty());
  store_ = std::move(store).value();
}

void IngestBench::move_to(std::unique_ptr<Device> device, WeightPlace place) {
  Engine::Impl& impl = engine_->impl();
  impl.gguf = Gguf::open(impl.info.path).value();  // anew, as a device that is used from the start finds it
  impl.model = Model::create(*impl.gguf).value();
  impl.device = std::move(device);
  REQUIRE(impl.model->move_to(*impl.device, impl.account, place).ok());
  REQUIRE(impl.prepare_decode().ok());
}

void IngestBench::use_heads(const std::string& json) {
  Engine::Impl& impl = engine_->impl();
  std::ofstream(impl.options.heads_file) << json;
  impl.heads.clear();  // as an engine that is opened now
}

IngestBench::~IngestBench() {
  store_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

std::vector<std::string> every_policy() {
  std::vector<std::string> names;
  for (const PolicyInfo& policy : list_policies()) names.push_back(policy.name);
  return names;
}

IngestOptions IngestBench::options(const std::string& policy) {
  IngestOptions o;
  o.policy = policy;
  o.chunk_tokens = kChunkTokens, o.cache_tokens = 64, o.overlap_tokens = 16;
  return o;
}

Result<IngestResult> IngestBench::ingest(const std::string& name, const std::vector<std::string>& texts,
                                         const IngestOptions& options, const IngestProgressCallback& progress,
                                         const CancelToken* cancel) {
  std::vector<std::istringstream> streams(texts.begin(), texts.end());
  std::vector<IngestSource> sources;
  for (size_t i = 0; i < streams.size(); ++i) sources.push_back({fmt::format("text {}", n_sources_++), &streams[i]});
  return reform::ingest(*engine_, *store_, name, sources, options, progress, cancel);
}

std::string IngestBench::file_path(int i) const { return dir_ / fmt::format("text {}.txt", i); }

Result<IngestResult> IngestBench::ingest_files(const std::string& name, const std::vector<std::string>& texts,
                                               const IngestOptions& options, const IngestProgressCallback& progress,
                                               const CancelToken* cancel) {
  std::vector<IngestSource> sources;
  for (const std::string& text : texts) {
    sources.push_back({file_path(n_files_++), nullptr});
    std::ofstream(sources.back().path, std::ios::binary) << text;
  }
  return reform::ingest(*engine_, *store_, name, sources, options, progress, cancel);
}

Result<IngestResult> IngestBench::ingest_file(const std::string& name, const std::string& text,
                                              const IngestOptions& options) {
  return ingest_files(name, {text}, options);
}

Result<IngestResult> IngestBench::ingest_into(Store& store, const std::string& name, const std::string& text,
                                              const IngestOptions& options) {
  std::istringstream in(text);
  return reform::ingest(*engine_, store, name, {{fmt::format("text {}", n_sources_++), &in}}, options);
}

namespace {

// Whether run(progress, cancel) was stopped when chunk `chunk` began.
template <class Run>
bool stopped_at(int chunk, const Run& run) {
  CancelToken cancel;
  int64_t last_begin = -1;
  int n_begun = 0;
  const auto stop = [&](const IngestProgress& p) {
    if (p.phase != "compress" || p.tokens_done == last_begin || p.tokens_done % kChunkTokens != 0) return;
    last_begin = p.tokens_done;
    if (n_begun++ == chunk) cancel.cancel();
  };
  const Result<IngestResult> r = run(stop, &cancel);
  if (r.ok()) return false;
  INFO(r.status().message);
  REQUIRE(r.status().code == Code::kCancelled);
  return true;
}

}  // namespace

bool IngestBench::ingest_stopped(const std::string& name, const std::vector<std::string>& texts,
                                 const IngestOptions& options, int chunk) {
  return stopped_at(chunk, [&](const IngestProgressCallback& progress, const CancelToken* cancel) {
    return ingest(name, texts, options, progress, cancel);
  });
}

bool IngestBench::file_stopped(const std::string& name, const std::string& text, const IngestOptions& options,
                               int chunk) {
  return stopped_at(chunk, [&](const IngestProgressCallback& progress, const CancelToken* cancel) {
    return ingest_files(name, {text}, options, progress, cancel);
  });
}

Snapshot IngestBench::snapshot(const std::string& name) {
  Snapshot s;
  s.info = store_->find(name).value();
  REQUIRE(s.info.state == "complete");
  {
    auto opened = store_->impl().contexts->open_reader(name);
    REQUIRE(opened.status().message.empty());
    ContextData& data = *opened.value();
    auto tokens = data.read_tokens(0, data.meta().n_tokens);
    REQUIRE(tokens.status().message.empty());
    s.ids = tokens.value().ids, s.begin_bytes = tokens.value().begin_bytes;
    REQUIRE(data.scan(kEmbeddingRows,
                      [&](TokenRange, std::span<const std::byte> rows) -> Status {
                        s.rows += bytes_of(rows);
                        return {};
                      })
                .ok());
    s.at = data.checkpoints().value();
    for (const int64_t n : s.at) {
      REQUIRE(data.load_checkpoint(n,
                                   [&](const std::string& part, std::span<const std::byte> bytes) -> Status {
                                     s.checkpoints += fmt::format("[{} {}]", part, bytes.size()) + bytes_of(bytes);
                                     return {};
                                   })
                  .ok());
    }
    s.append_start = nlohmann::json::parse(data.meta().progress).at("append").dump();
    s.fixed_settings = data.meta().settings;
  }
  AskOptions ask;
  ask.sampling.max_new_tokens = 4;
  ask.gather_tokens = 48, ask.edge_tokens = 8, ask.pool_window = 5;
  const auto answer = reform::ask(*engine_, *store_, {name}, "where are the blue stones?", ask);
  INFO(answer.status().message);
  REQUIRE(answer.ok());
  s.answer = answer.value().answer;
  const Source* before = nullptr;
  for (const Source& source : answer.value().sources) {
    // A passage across two files is two sources.
    const bool goes_on = before != nullptr && source.begin_byte == 0 && before->file != source.file &&
                         before->edge == source.edge && before->score == source.score;
    if (!goes_on) s.passages += fmt::format("\n{} {} ", source.edge, source.score);
    s.passages += source.text;
    before = &source;
  }
  return s;
}

void check_same(const Snapshot& a, const Snapshot& b) {
  CHECK(a.ids == b.ids);
  CHECK(a.begin_bytes == b.begin_bytes);
  CHECK((a.rows == b.rows));  // too long to be shown when they differ
  CHECK(a.at == b.at);
  CHECK((a.checkpoints == b.checkpoints));
  CHECK(a.append_start == b.append_start);
  CHECK(a.fixed_settings == b.fixed_settings);
  // The prompt names the files if there are several.
  if (a.info.files.size() == b.info.files.size()) CHECK(a.answer == b.answer);
  CHECK(a.passages == b.passages);
  CHECK(a.info.source_bytes == b.info.source_bytes);
}

void ingest_three_ways(IngestBench& bench, const IngestOptions& options, IngestOptions append) {
  const std::vector<std::string> texts = {made_text(7, 500), made_text(8, 300)};
  const std::string joined_text = texts[0] + texts[1];
  REQUIRE(bench.ingest("joined", {joined_text}, options).ok());
  REQUIRE(bench.ingest("grown", {texts[0]}, options).ok());
  append.on_existing = IngestOptions::OnExisting::kAppend;
  REQUIRE(bench.ingest("grown", {texts[1]}, append).ok());
  REQUIRE(bench.ingest_stopped("resumed", {joined_text}, options, 3));
  REQUIRE(bench.ingest("resumed", {joined_text}, options).ok());
  const Snapshot joined = bench.snapshot("joined");
  check_same(joined, bench.snapshot("grown"));
  check_same(joined, bench.snapshot("resumed"));
}

}  // namespace reform::test
