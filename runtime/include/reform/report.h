// What a call cost: time per phase and memory per category. In --json the first four timings have the names that
// llama.cpp's server uses.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace reform {

struct Timings {
  int64_t prompt_n = 0;  // tokens run through the model before the first new one
  double prompt_ms = 0;
  int64_t cached_n = 0;     // of prompt_n: tokens whose states were kept from an earlier call
  int64_t predicted_n = 0;  // tokens generated
  double predicted_ms = 0;
  // In the order they ran: ingest {tokenise_ms, compress_ms, store_ms, heads_ms}; ask {load_ms, query_ms,
  // gather_ms, recompute_ms, decode_ms}; search the first three of these.
  std::vector<std::pair<std::string, double>> phases_ms;
  double total_ms = 0;
};

// Where the model's weights were during the last job on a GPU.
struct WeightReport {
  std::string
      place;  // where streamed layers came from, "host" or "file"; "resident": none were streamed; "" without a GPU
  int64_t resident_layers = 0, streamed_layers = 0;
  double planned_tokens_per_second = 0;  // new tokens, from the bytes each one needs; 0: no plan
};

// One category's part of the arena on a GPU, since the model was opened.
struct GpuCategory {
  std::string name;
  int64_t planned_bytes = 0, peak_bytes = 0;  // the largest plan of a job; the most in use
};

struct MemoryReport {
  int64_t peak_host_bytes = 0;    // the process's peak resident set
  int64_t peak_gpu_bytes = 0;     // the most of the GPU arena that was in use
  int64_t gpu_arena_bytes = 0;    // the size of that arena
  int64_t gpu_outside_bytes = 0;  // what else the driver has there: context, kernels, libraries
  int64_t cap_host_bytes = 0;     // 0: no cap
  std::vector<std::pair<std::string, int64_t>> peak_bytes;  // per category of the accounted buffers
  std::vector<std::pair<std::string, int64_t>> current_bytes;
  std::vector<GpuCategory> gpu_categories;  // empty without a GPU
  WeightReport gpu_weights;
};

}  // namespace reform
