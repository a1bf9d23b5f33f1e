// reform ingest: reads a text once and keeps it as a context.
#include <fmt/format.h>
#include <reform/errno_status.h>
#include <reform/ingest.h>
#include <reform/text.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <istream>
#include <memory>
#include <set>

#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/numbers.h"
#include "tools/open_engine.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/text_files.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

struct IngestFlags {
  EngineFlags engine;
  std::string store_dir, name;
  TextChoice texts;
  IngestOptions options;
  StoreOptions store_options;
  bool append = false, replace = false;
};

constexpr const char* kMethodGroup = "Method (fixed when the context is begun)";

// Says what was saved, and how to go on.
Status explain_cancelled(const IngestFlags& flags, bool from_stdin, const IngestProgress& last, Store& store) {
  std::string saved = "nothing is saved yet; run the same command again";
  if (last.tokens_saved > 0) {
    const std::string of = last.tokens_total > 0 ? " of about " + format_count(last.tokens_total) : "";
    saved = fmt::format("{}{} tokens are saved; run the same command again to go on from there",
                        format_count(last.tokens_saved), of);
  }
  if (from_stdin) saved += ", with the same text on standard input";
  const Result<ContextInfo> there = store.find(flags.name);
  if (there.ok() && there.value().state == "complete") saved += "; until then the context stays as it was";
  return {Code::kCancelled, fmt::format("stopped reading '{}': {}", flags.name, saved)};
}

void print_result(Output& out, const IngestResult& r, const TextFiles& texts) {
  const ContextInfo& c = r.context;
  std::string line = fmt::format("{}: ", c.name);
  if (r.outcome == IngestResult::Outcome::kUnchanged) {
    line += fmt::format("the same text is already there ({} tokens); nothing to read\n", format_count(c.n_tokens));
  } else {
    const double seconds = r.timings.total_ms / 1000;
    line += fmt::format("{}, {} tokens in all; {} run in {}", outcome_name(r.outcome), format_count(c.n_tokens),
                        format_count(r.tokens_run), format_duration(seconds));
    if (seconds > 0) line += fmt::format(" ({} tokens/s)", format_count(int64_t(double(r.tokens_run) / seconds + 0.5)));
    line += fmt::format("; on disk {}; peak memory {}\n", format_disk(c), format_bytes(r.memory.peak_host_bytes));
  }
  out.text(line);
  out.object(ingest_fields(r, texts.left_out));
}

// Before the model is loaded, so that nobody waits for an error.
Result<TextFiles> look_for_texts(const IngestFlags& flags, Output& out) {
  const CancelScope scope;
  TextChoice choice = flags.texts;
  choice.encoding = flags.options.encoding;
  auto texts = find_texts(choice, store_path(flags.store_dir), scope.token());
  if (texts.ok() && !texts.value().left_out.empty())
    out.progress().remark("reform: left out: " + printable(describe(texts.value().left_out), false));
  return texts;
}

// The options of a group that were given, by the names that IngestOptions has for them.
std::set<std::string> chosen_in(const CLI::App& verb, const char* group) {
  std::set<std::string> names;
  for (const CLI::Option* option : verb.get_options()) {
    if (option->get_group() != group || option->count() == 0) continue;
    std::string name = option->get_single_name();
    std::replace(name.begin(), name.end(), '-', '_');
    names.insert(name);
  }
  return names;
}

Status run_ingest(const IngestFlags& flags, const CLI::App& verb, Output& out) {
  IngestOptions options = flags.options;
  options.chosen = chosen_in(verb, kMethodGroup);
  if (flags.append) options.on_existing = IngestOptions::OnExisting::kAppend;
  if (flags.replace) options.on_existing = IngestOptions::OnExisting::kReplace;
  if (Status s = options.validate(); !s.ok()) return s;
  const auto texts = look_for_texts(flags, out);
  if (!texts.ok()) return texts.status();
  const std::vector<TextFile>& files = texts.value().files;

  auto store = Store::open(flags.store_dir, flags.store_options);
  if (!store.ok()) return store.status();
  out.progress().phase("loading the model");
  auto engine = open_engine(flags.engine.model, flags.engine.options, out);
  if (!engine.ok()) return engine.status();

  CancelScope scope;
  InterruptibleInput input(STDIN_FILENO, scope.token());
  std::istream standard_input(&input);
  std::vector<IngestSource> sources;
  sources.reserve(files.size());
  for (const TextFile& file : files)
    sources.push_back({file.path, file.path == kStandardInput ? &standard_input : nullptr, file.seen});

  IngestProgress last;
  const auto show = [&](const IngestProgress& progress) {
    last = progress;
    if (progress.phase == "save") scope.allow_saving();
    out.progress().update([&](int columns) { return ingest_line(progress, columns); });
  };
  auto result = ingest(*engine.value(), *store.value(), flags.name, sources, options, show, &scope.token());
  if (!result.ok()) {
    // Checks the token too: if standard input was interrupted, that looks like a read error.
    const bool from_stdin =
        std::any_of(files.begin(), files.end(), [](const TextFile& file) { return file.path == kStandardInput; });
    if (scope.token().cancelled()) return explain_cancelled(flags, from_stdin, last, *store.value());
    if (input.error() != 0) return errno_status(input.error(), result.status().message);
    return result.status();
  }
  print_result(out, result.value(), texts.value());
  return {};
}

void add_text_flags(CLI::App& verb, TextChoice& texts) {
  CLI::Option* files = verb.add_option("FILE", texts.named,
                                       "Texts in UTF-8 (or see --encoding), read in this order; '-' is standard input")
                           ->required();
  CLI::Option* recursive =
      verb.add_flag("-r,--recursive", texts.recursive,
                    "Read what lies below FILEs that are directories, sorted by path; binary, empty and hidden files "
                    "and symbolic links are left out, and a line says how many");
  const auto add_glob = [&](const char* name, std::vector<std::string>& globs, const char* help) {
    verb.add_option(name, globs, help)
        ->type_name("GLOB")
        ->expected(1)
        ->allow_extra_args(false)
        ->take_all()
        ->needs(recursive);
  };
  add_glob("--include", texts.include, "-r: only files whose name or path below the directory fits; may be repeated");
  add_glob("--exclude", texts.exclude, "-r: neither files nor directories that fit; may be repeated");
  const auto set_list = [&texts, files](const std::string& path) {
    texts.list_file = path;
    files->required(false);
  };
  CLI::Option* list =
      verb.add_option_function<std::string>("--files-from", set_list,
                                            "Read the texts named in this file, too, one name a line; '-' is "
                                            "standard input")
          ->type_name("LIST");
  verb.add_flag("-0,--null", texts.nul_separated, "The names in LIST end with a NUL byte, as find -print0 writes them")
      ->needs(list);
}

std::string policy_help() {
  std::string help = "What a chunk hands to the next:";
  for (const PolicyInfo& policy : list_policies()) help += fmt::format("\n{}: {}", policy.name, policy.summary);
  return help;
}

}  // namespace

void add_ingest(CLI::App& app, Invocation& invocation) {
  const auto flags = std::make_shared<IngestFlags>();
  CLI::App* verb =
      add_verb(app, invocation, "ingest",
               "Read a text once and keep it as a context.\n"
               "Ctrl-C stops it and saves what was read; the same command again goes on from there.",
               "  reform ingest --model qwen.gguf bible kjv.txt\n"
               "  reform ingest --model qwen.gguf manual -r docs --include '*.md' --exclude old\n"
               "  git ls-files -z src | reform ingest --model qwen.gguf code --files-from - -0\n"
               "  pdftotext report.pdf - | reform ingest --model qwen.gguf report -",
               [flags, &app](Output& out) { return run_ingest(*flags, *app.get_subcommand("ingest"), out); });
  verb->add_option("NAME", flags->name, "Name of the context")->required();
  add_text_flags(*verb, flags->texts);
  add_engine_flags(*verb, flags->engine, /*model_required=*/true);
  add_store_flag(*verb, flags->store_dir);
  add_store_limit_flags(*verb, flags->store_options);
  verb->add_option("--heads", flags->engine.options.heads_file, "Heads that make the embedding (JSON)")
      ->type_name("FILE");
  CLI::Option* append = verb->add_flag("--append", flags->append, "If NAME exists, add this text at its end");
  verb->add_flag("--replace", flags->replace, "If NAME exists, take its place once this text is read")
      ->excludes(append);
  verb->add_flag("--lossy", flags->options.lossy,
                 "Read bytes that are not in the encoding as U+FFFD instead of refusing");
  verb->add_option(
          "--encoding", flags->options.encoding,
          "The texts' encoding, a name of `iconv -l` such as UTF-16 or WINDOWS-1252; offsets stay those of the "
          "files")
      ->type_name("NAME")
      ->default_str("UTF-8");

  add_number(*verb, "--checkpoint-seconds", flags->options.checkpoint_seconds, ranges::kCheckpointSeconds,
             "How often what was read is saved")
      ->type_name("S")
      ->default_str(fmt::format("{}", flags->options.checkpoint_seconds));

  IngestOptions& o = flags->options;
  const char* group = kMethodGroup;
  const auto add = [&](const char* name, int64_t& value, Range<int64_t> range, const char* help) {
    add_number(*verb, name, value, range, help)->default_str(std::to_string(value))->group(group);
  };
  const auto add_or_auto = [&](const char* name, int64_t& value, Range<int64_t> range, const char* help) {
    add_number_or_auto(*verb, name, value, /*automatic=*/0, range, help)->group(group);
  };
  verb->add_option("--policy", o.policy, policy_help())->type_name("NAME")->capture_default_str()->group(group);
  verb->add_option(
          "--depth", o.depth,
          "How deep the model reads:\nfast: less than a third of its layers\nbalanced: up to 60 % of them (the "
          "default where the heads for it are known)\ndeep: as deep as it helps\npaper: the heads for the "
          "paper's own score")
      ->type_name("NAME")
      ->group(group);
  verb->add_flag("--full-depth", o.full_depth,
                 "Run the layers above those too, and keep the cache of every layer, for `ask --method carry`")
      ->group(group);
  verb->add_flag("--pages", o.pages,
                 "Keep every token's keys and values, for `ask --method pages`; implies --full-depth")
      ->group(group);
  add_or_auto("--chunk-tokens", o.chunk_tokens, ranges::kChunkTokens,
              "Tokens run at a time; auto: 4096, or what fits the model's trained window with the cache");
  add_or_auto("--cache-tokens", o.cache_tokens, ranges::kCacheTokens,
              "Size of the compressed cache per layer (all policies but none); auto as above");
  add("--sink-tokens", o.sink_tokens, ranges::kSinkTokens, "First tokens that are never evicted (policies with sinks)");
  add("--overlap-tokens", o.overlap_tokens, ranges::kOverlapTokens, "Tokens before a chunk that are run again (none)");
}

}  // namespace reform::tool
