#include "tools/flags.h"

#include <random>
#include <string>

#include "tools/text.h"

namespace reform::tool {

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
  verb.add_option("-t,--threads", o.n_threads, "Threads; 0 takes one per core (results do not depend on it)")
      ->type_name("N")
      ->group(group);
  verb.add_option("--isa", o.isa, "Instruction set: ref, portable, avx2 or avx512; the best one by default")
      ->type_name("NAME")
      ->group(group);
  verb.add_option("--device", o.device,
                  "Where the model runs: cpu (the default), auto (a GPU if one can be used), or cuda:0")
      ->type_name("NAME")
      ->group(group);
  const auto add_cap = [&verb, group](const std::string& flag, int64_t& bytes, const std::string& about) {
    const auto set = [flag, &bytes](const std::string& text) {
      const Result<int64_t> parsed = parse_size(text);
      if (!parsed.ok()) throw CLI::ValidationError(flag, parsed.status().message);
      bytes = parsed.value();
    };
    verb.add_option_function<std::string>(flag, set, about)->type_name("BYTES")->group(group);
  };
  add_cap("--max-host-memory", o.max_host_memory_bytes,
          "Hard cap on host memory, as in 800MiB or 2GiB; none by default");
  add_cap("--max-gpu-memory", o.max_gpu_memory_bytes,
          "Hard cap on GPU memory, the driver's share included; by default what is free");
  verb.add_option("--gpu-weights", o.gpu_weights,
                  "Where a GPU finds weights: auto (the default; there, as far as they fit), resident, host or file")
      ->type_name("PLACE")
      ->group(group);
  verb.add_option(
          "--gpu-products", o.gpu_products,
          "How a GPU multiplies while it reads a text: half (16 bits, the default), or fp8, faster and less exact")
      ->type_name("TYPE")
      ->group(group);
  verb.add_option(
          "--gpu-attention", o.gpu_attention,
          "Attention's kernels: auto (the default: the ones for compute capability 9.0 where they work), or warps")
      ->type_name("NAME")
      ->group(group);
  verb.add_option("--cublas-lt", o.cublas_lt_file,
                  "libcublasLt.so, if the loader does not find it: the toolkit's, or PyTorch's")
      ->type_name("FILE")
      ->group(group);
}

void add_store_flag(CLI::App& verb, std::string& store_dir) {
  verb.add_option("--store", store_dir, "Directory of contexts; by default " + Store::default_dir())->type_name("DIR");
}

void add_store_limit_flags(CLI::App& verb, StoreOptions& options) {
  const char* group = "Store (kept there, for every process, until it is set again)";
  const auto set_cap = [&options](const std::string& text) {
    const Result<int64_t> bytes = parse_size(text);
    if (!bytes.ok()) throw CLI::ValidationError("--max-store-bytes", bytes.status().message);
    options.max_bytes = bytes.value();
  };
  verb.add_option_function<std::string>("--max-store-bytes", set_cap,
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
  const auto add = [&](const char* names, auto& value, const char* help, const char* type) {
    verb.add_option(names, value, help)->type_name(type)->capture_default_str()->group(group);
  };
  add("--temp", o.temperature, "Temperature; 0 always takes the likeliest token", "T");
  add("--top-k", o.top_k, "Sample from the K likeliest tokens; 0: all", "K");
  add("--top-p", o.top_p, "Sample from the likeliest tokens that together reach P; 1: all", "P");
  add("--min-p", o.min_p, "Leave out tokens below P times the likeliest one's probability; 0: none", "P");
  add("-s,--seed", flags.seed, "The same seed gives the same text; -1 draws one", "N");
  add("-n,--predict,--n-predict", o.max_new_tokens, "Tokens to generate at most", "N");
  verb.add_flag("--ignore-eos", o.ignore_end, "Generate -n tokens, whatever ends the text; for measuring")
      ->group(group);
}

SamplingOptions sampling_options(const SamplingFlags& flags) {
  SamplingOptions options = flags.options;
  options.seed = flags.seed == -1 ? std::random_device()() : uint64_t(flags.seed);
  return options;
}

}  // namespace reform::tool
