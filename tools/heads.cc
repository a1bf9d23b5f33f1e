// reform heads: chooses the heads that find passages, for a model.
#include <fmt/format.h>
#include <reform/errno_status.h>
#include <reform/heads.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tools/descriptors.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/numbers.h"
#include "tools/open_engine.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

struct HeadsFlags {
  EngineFlags engine;
  HeadSearchOptions options;
  std::string out_file;
};

std::string recall_columns(const HeadRecall& recall) {
  std::string text;
  for (const double r : recall) text += fmt::format("{:>8.3f}", r);
  return text;
}

std::string tables(const HeadSearchResult& r) {
  std::string budgets;
  for (const int64_t n : kHeadRecallTokens) budgets += fmt::format("{:>8}", format_count(n));
  std::string text = fmt::format(
      "{} texts, {} questions, {} tokens. Share of the questions whose evidence lies, whole, "
      "in the best passages of so many tokens:\n\n{:<30}{}\n",
      r.n_texts, r.n_questions, format_count(r.n_tokens), "", budgets);
  text += fmt::format("{:<30}{}\n\nThe best head of each layer, alone\n", "Words in common, no head",
                      recall_columns(r.words_recall));
  for (const auto& layer : r.layers) text += fmt::format("  {:<28}{}\n", layer.best_head, recall_columns(layer.recall));
  text += "\nSets up to a layer, on questions about texts that were left out as the set was chosen\n";
  for (const auto& d : r.depths) {
    const std::string label = fmt::format("{:3.0f} %, layer {}: {} heads", 100 * d.share, d.last_layer, d.n_heads);
    text += fmt::format("  {:<28}{}\n", label, recall_columns(d.recall));
  }
  text += "\nThe sets\n";
  for (const auto& set : r.sets) {
    text +=
        fmt::format("  {:<28}{}\n    {}\n", fmt::format("{}, exit at {} of {}", set.name, set.exit_layer, r.n_layers),
                    recall_columns(set.recall), fmt::join(set.heads, " "));
  }
  return text;
}

Status write_heads(const std::string& path, const std::string& json) {
  std::ofstream file(path, std::ios::binary);
  if (file << json << std::flush) return {};
  return errno_status(errno, path + ": cannot be written");
}

// Looked at first, so that nobody waits for an error.
Status check_writable(const std::string& file) {
  std::error_code error;
  if (file == "-") return {Code::kUsage, "--out -: the heads go to a file, which './-' could name"};
  if (std::filesystem::is_directory(file, error)) return errno_status(EISDIR, file);
  if (const std::string stream = stream_into(file); !stream.empty())
    return {Code::kUsage, fmt::format("{}: {} goes there already; name another file", file, stream)};
  if (file.empty() || ::access(file.c_str(), W_OK) == 0) return {};
  if (errno != ENOENT) return errno_status(errno, file + ": cannot be written");
  std::filesystem::path target = file;  // of a link that leads to nothing yet: the file is made there
  while (std::filesystem::is_symlink(target, error))
    target = target.parent_path() / std::filesystem::read_symlink(target, error);
  const std::filesystem::path folder = target.parent_path();
  if (::access(folder.empty() ? "." : folder.c_str(), W_OK) == 0) return {};
  return errno_status(errno, file + ": cannot be written");
}

Status run_heads(const HeadsFlags& flags, Output& out) {
  if (Status s = flags.options.validate(); !s.ok()) return s;
  if (Status s = check_writable(flags.out_file); !s.ok()) return s;
  out.progress().phase("loading the model");
  auto engine = open_engine(flags.engine.model, flags.engine.options, out);
  if (!engine.ok()) return engine.status();
  const CancelScope scope;
  const auto show = [&](const IngestProgress& progress) {
    out.progress().update([&](int columns) { return ingest_line(progress, columns); });
  };
  const auto found = search_heads(*engine.value(), flags.options, show, &scope.token());
  if (found.status().code == Code::kCancelled)
    return {Code::kCancelled, "stopped; the same command goes on from what was computed"};
  if (!found.ok()) return found.status();
  const HeadSearchResult& result = found.value();
  out.text(tables(result));
  if (!flags.out_file.empty()) {
    if (Status s = write_heads(flags.out_file, result.heads_file); !s.ok()) return s;
  }
  if (!result.kept_at.empty()) {
    out.progress().remark(fmt::format("ingest takes these heads for this model ({})", result.kept_at));
  } else {
    out.progress().remark(
        fmt::format("ingest goes on with the heads that it has for this model, and takes these with --heads {}",
                    flags.out_file.empty() ? "FILE (--out FILE writes it)" : flags.out_file));
  }
  out.object(heads_fields(result, flags.out_file));
  return {};
}

}  // namespace

void add_heads(CLI::App& app, Invocation& invocation) {
  const auto flags = std::make_shared<HeadsFlags>();
  CLI::App* verb = add_verb(app, invocation, "heads",
                            "Choose the heads whose states find passages, on sample texts with questions.\n"
                            "Ctrl-C stops it; the same command again goes on from what was computed.",
                            "  reform heads --model qwen.gguf --out qwen-heads.json",
                            [flags](Output& out) { return run_heads(*flags, out); });
  add_engine_flags(*verb, flags->engine, /*model_required=*/true);
  verb->add_option("--out", flags->out_file, "Write the heads here, as ingest --heads takes them (JSON)")
      ->type_name("FILE");
  add_number(*verb, "--questions", flags->options.n_questions, ranges::kHeadQuestions,
             "Read only so many of the samples' questions, about; fewer choose worse; 0: all");
  add_number(*verb, "--minutes", flags->options.minutes, ranges::kHeadMinutes,
             "Read only as much as takes about so long; 0: everything")
      ->type_name("M");
}

}  // namespace reform::tool
