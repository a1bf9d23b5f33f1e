// Runs a text and its questions through phase 1 and writes the INT8 rows of every head of every layer
// (runtime/compress/ embedding.h), so that scores can be tried on them without a model. Files in --out:
//   rows.bin, questions.bin   [n_tokens, row_bytes] of the text; of all questions, one after the other
//   info.json                 heads, head_dim, row_bytes; ids and begin_bytes of the text; ids of each question
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "base/try.h"
#include "kernels/device.h"
#include "runtime/compress/compress.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform::bench {
namespace {

using nlohmann::json;

constexpr int64_t kMaxQuestionTokens = 256;

struct Options {
  std::string model, text, questions, out, policy = "recent";
  double depth = 1.0;
  int64_t chunk_tokens = 2048, cache_tokens = 2048, overlap_tokens = 256;
  int threads = 0;
};

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status{Code::kNotFound, path + ": cannot be read"};
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Heads all_heads(const ModelShape& shape, double depth) {
  Heads heads;
  const int64_t n_layers = std::max<int64_t>(int64_t(double(shape.n_layers) * depth), 1);
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    for (int64_t h = 0; h < shape.n_heads; ++h) heads.push_back({layer, HeadRef::Part::kQ, h});
    for (int64_t h = 0; h < shape.n_kv_heads; ++h) heads.push_back({layer, HeadRef::Part::kK, h});
    for (int64_t h = 0; h < shape.n_kv_heads; ++h) heads.push_back({layer, HeadRef::Part::kV, h});
  }
  return heads;
}

Status ingest(Compressor& compressor, const CompressOptions& options, std::span<const int32_t> ids,
              std::ofstream& out) {
  for (size_t begin = 0; begin < ids.size(); begin += size_t(options.chunk_tokens)) {
    const size_t n = std::min(size_t(options.chunk_tokens), ids.size() - begin);
    const size_t overlap = std::min(begin, size_t(options.overlap_tokens));
    TRY_ASSIGN(const RowsForHost rows,
               compressor.run_chunk(
                   ids.subspan(begin - overlap, overlap), ids.subspan(begin, n), [](double) {}, nullptr));
    TRY(compressor.wait_for(rows));
    out.write(reinterpret_cast<const char*>(rows.bytes.data()), std::streamsize(rows.bytes.size()));
    fmt::print(stderr, "\r{} of {} tokens", begin + n, ids.size());
  }
  fmt::print(stderr, "\n");
  if (options.policy->carries()) return {};
  return compressor.run_tail(ids.last(std::min(ids.size(), size_t(kQuestionTailTokens))), nullptr);
}

Status run(const Options& o) {
  TRY_ASSIGN(const auto gguf, Gguf::open(o.model));
  TRY_ASSIGN(const auto model, Model::create(*gguf));
  TRY_ASSIGN(const auto tokenizer, Tokenizer::create(*gguf));
  TRY_ASSIGN(const std::string bytes, read_file(o.text));
  TRY_ASSIGN(const std::string list, read_file(o.questions));
  TokenBatch text;
  const auto stream = tokenizer->stream(/*lossy=*/false);
  TRY(stream->feed(bytes, text));
  TRY(stream->finish(text));
  const Heads heads = all_heads(model->shape(), o.depth);
  const bool wants_bos = tokenizer->add_bos() && tokenizer->bos() >= 0;
  const CompressOptions options{.policy = find_policy(o.policy),
                                .chunk_tokens = o.chunk_tokens,
                                .cache_tokens = o.cache_tokens,
                                .sink_tokens = 4,
                                .overlap_tokens = o.overlap_tokens,
                                .bos = wants_bos ? tokenizer->bos() : -1,
                                .kv_type = KvView::Type::kF16};
  if (options.policy == nullptr) return {Code::kUsage, "unknown policy " + o.policy};

  MemoryAccount account;
  ThreadPool pool(o.threads);
  const auto device = make_cpu_device(best_isa(), pool, account);
  TRY(model->move_to(*device, account, WeightPlace::kAuto));
  CompressSizes sizes = ingest_sizes(options);
  const CompressSizes asked = question_sizes(options, kMaxQuestionTokens);
  sizes = {std::max(sizes.call_tokens, asked.call_tokens), std::max(sizes.capacity, asked.capacity)};
  const OpLimits limits = Compressor::limits(model->shape(), *device, sizes);
  TRY_ASSIGN(auto workspace,
             Buffer<std::byte>::create(account, MemoryCategory::kWorkspace, device->workspace_bytes(limits)));
  const auto ops = device->make_ops(limits, workspace.span());
  TRY_ASSIGN(auto compressor, Compressor::create(*model, {*device, ops.get(), account}, heads, options, sizes));

  std::ofstream rows(o.out + "/rows.bin", std::ios::binary), questions(o.out + "/questions.bin", std::ios::binary);
  TRY(ingest(*compressor, options, text.ids, rows));
  json info = {{"head_dim", compressor->layout().head_dim}, {"row_bytes", compressor->layout().row_bytes()}};
  for (const HeadRef& head : heads) info["heads"].push_back(to_string(head));
  info["ids"] = text.ids;
  int64_t at = 0;
  for (const uint32_t n : text.byte_lengths) info["begin_bytes"].push_back(at), at += n;
  for (const json& question : json::parse(list)) {
    TRY_ASSIGN(std::vector<int32_t> ids, tokenizer->encode_plain(question.get<std::string>()));
    ids.resize(std::min(ids.size(), size_t(kMaxQuestionTokens)));
    TRY_ASSIGN(const auto states, compressor->run_question(ids, nullptr));
    questions.write(reinterpret_cast<const char*>(states.data()), std::streamsize(states.size()));
    info["question_ids"].push_back(ids);
  }
  std::ofstream(o.out + "/info.json") << info.dump();
  return rows && questions ? Status{} : Status{Code::kIo, o.out + ": cannot be written"};
}

}  // namespace
}  // namespace reform::bench

int main(int argc, char** argv) {
  reform::bench::Options options;
  CLI::App app{"The rows of every head for a text and its questions"};
  app.add_option("--model", options.model)->required();
  app.add_option("--text", options.text, "file to read")->required();
  app.add_option("--questions", options.questions, "JSON list of strings")->required();
  app.add_option("--out", options.out, "folder for the files, which must be there")->required();
  app.add_option("--policy", options.policy);
  app.add_option("--depth", options.depth, "share of the layers");
  app.add_option("--chunk-tokens", options.chunk_tokens);
  app.add_option("--cache-tokens", options.cache_tokens);
  app.add_option("--threads", options.threads);
  CLI11_PARSE(app, argc, argv);
  const reform::Status status = reform::bench::run(options);
  if (!status.ok()) fmt::print(stderr, "head_rows: {}\n", status.message);
  return status.ok() ? 0 : 1;
}
