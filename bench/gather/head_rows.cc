// Runs a text and its questions through phase 1 and writes the INT8 rows of every head of every layer
// (runtime/compress/embedding.h), so that scores can be tried on them without a model. Files in --out:
//   rows.bin, questions.bin   [n_tokens, row_bytes] of the text; of all questions, one after the other
//   info.json                 heads, head_dim, row_bytes; ids and begin_bytes of the text; ids of each question
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "base/try.h"
#include "bench/phase1.h"
#include "kernels/device.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model.h"
#include "runtime/model/weights/plan.h"

namespace reform::bench {
namespace {

using nlohmann::json;

struct Options {
  ReadingOptions reading{.model = "", .text = "", .policy = "recent"};
  std::string questions, out;
  double depth = 1.0;
};

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

Result<std::vector<std::string>> read_questions(const std::string& path) {
  TRY_ASSIGN(const std::string bytes, read_file(path));
  const json list = json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), [](const json& q) { return q.is_string(); })) {
    return Status{Code::kUsage, path + ": no list of questions"};
  }
  return list.get<std::vector<std::string>>();
}

Status run(const Options& o) {
  TRY_ASSIGN(const auto gguf, Gguf::open(o.reading.model));
  TRY_ASSIGN(const auto model, Model::create(*gguf));
  TRY_ASSIGN(const auto tokenizer, Tokenizer::create(*gguf));
  TRY_ASSIGN(const TokenisedText text, read_text(o.reading.text, *tokenizer));
  TRY_ASSIGN(const std::vector<std::string> asked, read_questions(o.questions));
  TRY_ASSIGN(const CompressOptions options, compress_options(o.reading, *tokenizer));
  const Heads heads = all_heads(model->shape(), o.depth);

  MemoryAccount account;
  ThreadPool pool(o.reading.threads);
  const auto device = make_cpu_device(best_isa(), pool, account);
  TRY(model->move_to(*device, account, WeightPlace::kAuto));
  const CompressSizes sizes = sizes_for_both(options);
  const OpLimits limits = Compressor::limits(model->shape(), *device, sizes);
  TRY_ASSIGN(auto workspace,
             Buffer<std::byte>::create(account, MemoryCategory::kWorkspace, device->workspace_bytes(limits)));
  const auto ops = device->make_ops(limits, workspace.span());
  TRY_ASSIGN(auto compressor, Compressor::create(*model, {*device, ops.get(), account}, heads, options, sizes));

  std::ofstream rows(o.out + "/rows.bin", std::ios::binary), questions(o.out + "/questions.bin", std::ios::binary);
  int64_t n_done = 0;
  const auto write = [](std::ofstream& out, std::span<const std::byte> bytes) {
    out.write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
  };
  const EmbeddingLayout& layout = compressor->layout();
  TRY(run_text(*compressor, options, text.tokens.ids, [&](std::span<const std::byte> bytes) {
    write(rows, bytes);
    n_done += int64_t(bytes.size()) / layout.row_bytes();
    fmt::print(stderr, "\r{} of {} tokens", n_done, text.n_tokens());
  }));
  fmt::print(stderr, "\n");
  json info = {{"head_dim", layout.head_dim}, {"row_bytes", layout.row_bytes()}, {"ids", text.tokens.ids}};
  for (const HeadRef& head : heads) info["heads"].push_back(to_string(head));
  info["begin_bytes"] = std::span(text.begin_bytes).first(size_t(text.n_tokens()));
  for (const std::string& question : asked) {
    TRY_ASSIGN(std::vector<int32_t> ids, tokenizer->encode_plain(question));
    ids.resize(std::min(ids.size(), size_t(kMaxQuestionTokens)));
    TRY_ASSIGN(const auto states, compressor->run_question(ids, nullptr));
    write(questions, states);
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
  app.add_option("--model", options.reading.model)->required();
  app.add_option("--text", options.reading.text, "file to read")->required();
  app.add_option("--questions", options.questions, "JSON list of strings")->required();
  app.add_option("--out", options.out, "folder for the files, which must be there")->required();
  app.add_option("--policy", options.reading.policy);
  app.add_option("--depth", options.depth, "share of the layers");
  app.add_option("--chunk-tokens", options.reading.chunk_tokens);
  app.add_option("--cache-tokens", options.reading.cache_tokens);
  app.add_option("--threads", options.reading.threads);
  CLI11_PARSE(app, argc, argv);
  const reform::Status status = reform::bench::run(options);
  if (!status.ok()) fmt::print(stderr, "head_rows: {}\n", status.message);
  return status.ok() ? 0 : 1;
}
