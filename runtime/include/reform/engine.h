// Engine: one model on one device. Expensive to open; share it between calls.
//
// Thread-safety: any thread may make any call. Calls that run the model (ingest, ask, generate) take turns: on the CPU
// in small parts, so that a few questions are answered at a time and a text is read in the gaps; on a GPU one after the
// other.
// Lifetime: the engine must outlive every call made with it.
// The model's file is mapped, and nobody may write to it meanwhile. A call during which that happened fails with
// kBadModel. If the file becomes shorter, the kernel may send SIGBUS. The library installs no signal handlers; a host
// that wants to say more installs one before open(), as the command does (tools/open_engine.cc).
#pragma once

#include <reform/export.h>
#include <reform/log.h>
#include <reform/report.h>
#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace reform {

struct EngineOptions {
  // Changes results.
  // How messages become a prompt: a name of a template that the model's file holds, a built-in one (chatml, llama3,
  // gemma, mistral, base), or the path of a Jinja file. "": the file's own, or base if it has none.
  std::string chat_template;
  std::string heads_file;  // JSON; "" takes the shipped heads, else those in the cache, else searches
  // How a GPU multiplies matrices while it reads a text for a new context. "" and half: with 16 bits. fp8: faster, but
  // some 10 % of what is gathered is other text; kUnavailable if the chip or cuBLASLt cannot. A context continues as it
  // was begun.
  std::string gpu_products;
  // Changes speed, not results.
  int n_threads = 0;                  // 0: one per core this process may run on
  int64_t max_host_memory_bytes = 0;  // hard cap on accounted memory; 0: no cap
  // On the CPU, what the model made of the last prompts is kept in so much memory, within the cap: the same prompt
  // again needs no recompute. Given up where a call needs the room. 0: none is kept.
  int64_t prompt_cache_bytes = 0;
  std::string isa;  // ref, portable, avx2, avx512, amx; "": the best this machine runs
  // Where the model runs. "" and cpu; in a build with CUDA also cuda:0, cuda:1, ..., and auto (a GPU if there is one).
  std::string device;
  // The options for GPUs below do nothing on the CPU; the log then says so.
  // Hard cap on the process's GPU memory, the driver's share included. 0: all that is free except a reserve.
  int64_t max_gpu_memory_bytes = 0;
  // Where a GPU finds the weights. "" and auto: in GPU memory as far as they fit, the rest in host memory or the file.
  // resident: all in GPU memory. host, file: all are copied each time, from pinned host memory or from the file.
  std::string gpu_weights;
  // Attention kernels on a GPU of compute capability 9.0. "" and auto: the kernels written for it, if a trial shows
  // that they are right. warps: the kernels for all other chips.
  std::string gpu_attention;
  std::string cublas_lt_file;  // the library, if the loader does not find it: the toolkit's or PyTorch's
  std::string cache_dir;       // for fingerprints and searched heads; "" is $XDG_CACHE_HOME/reform

  REFORM_API Status validate() const;
};

REFORM_API bool cuda_built_in();  // whether this build can run a model on a GPU

struct ModelInfo {
  std::string path, name, architecture, fingerprint;
  std::string chat_template;  // the name of the one that is used; "default": the file's own; "" if it cannot be read
  std::string isa, device;
  int64_t n_params = 0, n_layers = 0, d_model = 0, n_vocab = 0, trained_window_tokens = 0, file_bytes = 0;
};

struct ChatTemplateText {
  std::string name;    // as ModelInfo's
  std::string source;  // Jinja
};

// A model path may be this and NAME:TYPE, such as "synthetic:mistral-nemo-12b:q4_k": a model of that shape with random
// weights, for measuring without the real ones. Its answers are noise. docs/MODELS.md lists the names.
inline constexpr std::string_view kSyntheticModel = "synthetic:";

class REFORM_API Engine {
 public:
  static Result<std::unique_ptr<Engine>> open(const std::string& model_path, const EngineOptions& options,
                                              LogCallback log = {});
  ~Engine();

  const ModelInfo& model() const;
  MemoryReport memory() const;
  // The chat template that ask() uses. kUsage: it cannot be read.
  Result<ChatTemplateText> chat_template() const;

  struct REFORM_HIDDEN Impl;  // private
  Impl& impl() { return *impl_; }

 private:
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform
