#include "tools/flags.h"

#include <fmt/format.h>
#include <reform/errno_status.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include "tools/numbers.h"
#include "tools/text.h"

namespace reform::tool {
namespace {

using SetText = std::function<void(const std::string& text)>;

template <class Bytes>
SetText set_size(const std::string& flag, Bytes& bytes) {
  return [flag, &bytes](const std::string& text) {
    const Result<int64_t> parsed = parse_size(text);
    if (!parsed.ok()) throw CLI::ValidationError(flag, parsed.status().message);
    bytes = parsed.value();
  };
}

SetText set_text(std::string& value) {
  return [&value](const std::string& text) { value = text; };
}

// An option for GPUs only. A build without CUDA refuses it and leaves it out of --help.
void add_gpu_flag(CLI::App& verb, const std::string& flag, const SetText& set, const char* type, const char* about) {
  const auto set_if_built_in = [flag, set](const std::string& text) {
    if (!cuda_built_in()) throw CLI::ValidationError(flag, "this reform was built without CUDA (docs/CUDA.md)");
    set(text);
  };
  const char* group = cuda_built_in() ? "GPU" : "";
  verb.add_option_function<std::string>(flag, set_if_built_in, about)->type_name(type)->group(group);
}

void add_gpu_flags(CLI::App& verb, EngineOptions& o) {
  add_gpu_flag(verb, "--max-gpu-memory", set_size("--max-gpu-memory", o.max_gpu_memory_bytes), "BYTES",
               "Hard cap on GPU memory, the driver's share included; by default what is free");
  add_gpu_flag(verb, "--gpu-weights", set_text(o.gpu_weights), "PLACE",
               "Where a GPU finds weights: auto (the default; there, as far as they fit), resident, host or file");
  add_gpu_flag(
      verb, "--gpu-products", set_text(o.gpu_products), "TYPE",
      "How a GPU multiplies while it reads a text: half (16 bits, the default), or fp8, faster and less exact");
  add_gpu_flag(
      verb, "--gpu-attention", set_text(o.gpu_attention), "NAME",
      "Attention's kernels: auto (the default: the ones for compute capability 9.0 where they work), or warps");
  add_gpu_flag(verb, "--cublas-lt", set_text(o.cublas_lt_file), "FILE",
               "libcublasLt.so, if the loader does not find it: the toolkit's, or PyTorch's");
}

// What comes before a ".." must be there, or the path leads nowhere.
Status check_above(const std::filesystem::path& path) {
  std::filesystem::path above = path;
  while (above.has_relative_path() && above.filename() != "..") above = above.parent_path();
  std::error_code error;
  if (!above.has_relative_path() || std::filesystem::exists(above, error)) return {};
  return errno_status(error ? error.value() : ENOENT, "cannot find " + above.string());
}

}  // namespace

CLI::Option* add_model_flags(CLI::App& verb, std::string& model, const std::string& about) {
  CLI::Option* file = verb.add_option("-m,--model", model, about)->type_name("FILE");
  const auto set = [&model, file](const std::string& name) {
    model = std::string(kSyntheticModel) + name;
    file->required(false);
  };
  verb.add_option_function<std::string>(
          "--synthetic", set,
          "In place of -m, for measuring: random weights in a real shape, as mistral-nemo-12b:q4_k (docs/MODELS.md)")
      ->type_name("NAME:TYPE")
      ->excludes(file);
  return file;
}

void add_engine_flags(CLI::App& verb, EngineFlags& flags, bool model_required) {
  const char* what = model_required ? "GGUF file of the model"
                                    : "GGUF file of the model, if it is no longer where the context found it";
  add_model_flags(verb, flags.model, what)->required(model_required);
  EngineOptions& o = flags.options;
  const char* group = "Machine";
  add_number(verb, "-t,--threads", o.n_threads, ranges::kThreads,
             "Threads; 0 takes one per core (results do not depend on it)")
      ->group(group);
  verb.add_option("--isa", o.isa, "Instruction set: ref, portable, avx2, avx512 or amx; the best one by default")
      ->type_name("NAME")
      ->group(group);
  const char* device_help = cuda_built_in()
                                ? "Where the model runs: cpu (the default), auto (a GPU if one can be used), or cuda:0"
                                : "Where the model runs: cpu; this build has no CUDA (docs/CUDA.md)";
  verb.add_option("--device", o.device, device_help)->type_name("NAME")->group(group);
  verb.add_option_function<std::string>(
          "--max-host-memory", set_size("--max-host-memory", o.max_host_memory_bytes),
          "Hard cap on host memory, as in 800MiB or 2GiB; by default what the machine has available. Limits of the\n"
          "process and its control group hold in any case (reform doctor shows them)")
      ->type_name("BYTES")
      ->group(group);
  add_gpu_flags(verb, o);
}

void add_store_flag(CLI::App& verb, std::string& store_dir) {
  const std::string usual = Store::default_dir();
  verb.add_option("--store", store_dir, "Directory of contexts" + (usual.empty() ? "" : "; by default " + usual))
      ->type_name("DIR");
}

std::string store_path(const std::string& store_dir) { return store_dir.empty() ? Store::default_dir() : store_dir; }

Result<std::unique_ptr<Store>> open_existing(const std::string& store_dir, const std::vector<std::string>& names) {
  const std::string path = store_path(store_dir);
  if (path.empty()) return Store::open(path);  // says what to do
  std::error_code error;
  const auto found = std::filesystem::status(path, error);
  if (error && error != std::errc::no_such_file_or_directory) return errno_status(error.value(), path);
  if (std::filesystem::exists(found) && !std::filesystem::is_directory(found))
    return Status{Code::kUsage, path + " is a file, not a store"};
  const bool holds_nothing = std::filesystem::is_directory(found) && std::filesystem::is_empty(path, error) && !error;
  const bool is_missing = found.type() == std::filesystem::file_type::not_found;
  if (!is_missing && !holds_nothing) return Store::open(path);
  if (Status s = check_above(path); !s.ok()) return s;
  if (names.empty()) return std::unique_ptr<Store>();
  return Status{Code::kNotFound, fmt::format("there is no context \"{}\": the store {} {}; --store names another",
                                             names.front(), path, is_missing ? "does not exist" : "is empty")};
}

CLI::Option* add_names_verb(CLI::App& app, Invocation& invocation, const std::string& name,
                            const std::string& description, const std::string& example,
                            const std::function<Status(const StoreFlags& flags, Output& out)>& run) {
  const auto flags = std::make_shared<StoreFlags>();
  CLI::App* verb =
      add_verb(app, invocation, name, description, example, [flags, run](Output& out) { return run(*flags, out); });
  add_store_flag(*verb, flags->store_dir);
  return verb->add_option("NAME", flags->names, "Names of the contexts");
}

void add_store_limit_flags(CLI::App& verb, StoreOptions& options) {
  const char* group = "Store (kept there, for every process, until it is set again)";
  verb.add_option_function<std::string>("--max-store-bytes", set_size("--max-store-bytes", options.max_bytes),
                                        "Cap on the store's whole directory, as in 50GiB; 0: none")
      ->type_name("BYTES")
      ->group(group);
  const auto set_when_full = [&options](const std::string& text) {
    if (text != "stop" && text != "evict")
      throw CLI::ValidationError("--when-full", "is '" + text + "'; expected stop or evict");
    options.evict_when_full = text == "evict";
  };
  verb.add_option_function<std::string>(
          "--when-full", set_when_full,
          "At the cap: stop, or evict the contexts asked least recently; stop if it was never set")
      ->type_name("WHAT")
      ->group(group);
}

void add_sampling_flags(CLI::App& verb, SamplingFlags& flags) {
  SamplingOptions& o = flags.options;
  const char* group = "Sampling";
  const auto add = [&](const char* names, auto& value, auto range, const char* help, const char* type) {
    add_number(verb, names, value, range, help)->type_name(type)->default_str(fmt::format("{}", value))->group(group);
  };
  constexpr Range<int64_t> kSeeds{-1, std::numeric_limits<int64_t>::max()};
  add("--temp", o.temperature, ranges::kTemperature, "Temperature; 0 always takes the likeliest token", "T");
  add("--top-k", o.top_k, ranges::kTopK, "Sample from the K likeliest tokens; 0: all", "K");
  add("--top-p", o.top_p, ranges::kShare, "Sample from the likeliest tokens that together reach P; 1: all", "P");
  add("--min-p", o.min_p, ranges::kShare, "Leave out tokens below P times the likeliest one's probability; 0: none",
      "P");
  add("-s,--seed", flags.seed, kSeeds, "The same seed gives the same text; -1 draws one", "N");
  add("-n,--predict,--n-predict", o.max_new_tokens, ranges::kNewTokens, "Tokens of the answer at most", "N");
  verb.add_option("--stop", o.stop, "The answer ends before this text; repeatable")
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->group(group);
  verb.add_flag("--ignore-eos", o.ignore_end, "Generate -n tokens, whatever ends the text; for measuring")
      ->group(group);
}

SamplingOptions sampling_options(const SamplingFlags& flags) {
  SamplingOptions options = flags.options;
  options.seed = flags.seed == -1 ? std::random_device()() : uint64_t(flags.seed);
  return options;
}

}  // namespace reform::tool
