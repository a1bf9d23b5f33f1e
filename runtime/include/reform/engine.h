// Engine: one model on one device, with its memory account. Expensive to open; share it between calls.
//
// Thread-safety: calls that run the model (ingest, ask, generate) take turns inside; the rest may come from any thread.
// Lifetime: outlives every call made with it.
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
  std::string chat_template;  // "", chatml, llama3, gemma, mistral; "" recognises it from the GGUF
  std::string heads_file;     // JSON; "" looks in the shipped ones, then the cache, then searches
  // How a GPU multiplies matrices while it reads a text for a new context: "" and half (16 bits); fp8: faster, where
  // chip and cuBLASLt can (kUnavailable), and some 10 % of what is gathered is other text. A context goes on as it was
  // begun.
  std::string gpu_products;
  // Changes speed, not results.
  int n_threads = 0;                  // 0: one per core this process may run on
  int64_t max_host_memory_bytes = 0;  // hard cap on accounted memory; 0: none
  std::string isa;                    // "", ref, portable, avx2, avx512; "" takes the best this machine runs
  // Where the model runs: "" and cpu; cuda:0, cuda:1, ... in a build with CUDA; auto: a GPU if there is one.
  std::string device;
  int64_t max_gpu_memory_bytes = 0;  // hard cap on what the process has on the GPU, the driver's share
                                     // included; 0: what is free but for a reserve
  // Where a GPU finds weights: "" and auto: there as far as they fit, the rest from host memory or the file; resident:
  // all there; host, file: all copied each time, from pinned host memory or from the file.
  std::string gpu_weights;
  // Of a GPU of compute capability 9.0: "" and auto take the kernels made for it if a trial shows them right; warps:
  // those that serve elsewhere.
  std::string gpu_attention;
  std::string cublas_lt_file;  // where cuBLASLt is, if not where the loader looks: the toolkit's, or PyTorch's
  std::string cache_dir;       // fingerprints and searched heads; "" is $XDG_CACHE_HOME/reform

  REFORM_API Status validate() const;
};

REFORM_API bool cuda_built_in();  // whether this build can run a model on a GPU

struct ModelInfo {
  std::string path, name, architecture, fingerprint;
  std::string chat_template;  // "" when none was recognised
  std::string isa, device;
  int64_t n_params = 0, n_layers = 0, d_model = 0, n_vocab = 0, trained_window_tokens = 0, file_bytes = 0;
};

// In place of a model's path, with NAME:TYPE after it, as in "synthetic:mistral-nemo-12b:q4_k": a model of that shape
// with random weights, for measuring where the real ones cannot be had. What it answers is noise.
inline constexpr std::string_view kSyntheticModel = "synthetic:";

class REFORM_API Engine {
 public:
  static Result<std::unique_ptr<Engine>> open(const std::string& model_path, const EngineOptions& options,
                                              LogCallback log = {});
  ~Engine();

  const ModelInfo& model() const;
  MemoryReport memory() const;

  struct REFORM_HIDDEN Impl;  // private
  Impl& impl() { return *impl_; }

 private:
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform
