// Where the ops of a job find a model's weights: in the file's mapping, or in places of a device's own memory.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/device.h"
#include "runtime/model/model.h"
#include "runtime/model/weights/plan.h"

namespace reform {

Result<WeightPlace> parse_weight_place(const std::string& text);  // "" is auto; kUsage

// What of the model a job runs: layers [0, last_layer], of the last one perhaps only what q, k and v are computed from.
struct WeightUse {
  int64_t last_layer = 0;
  bool stop_at_states = false;
  bool output = false;
};
WeightUse use_of_all(const ModelShape& shape);

// Where they are now.
struct WeightSummary {
  const char* place = "resident";  // of what is streamed: "host" or "file"; "resident" if nothing is
  int64_t resident_layers = 0, streamed_layers = 0;
  int64_t planned_bytes = 0;  // of a device with memory of its own, for all that is there
  double tokens_per_s = 0;    // of one after another, where the output is used; 0: unknown
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // What a job takes of the device at least for its weights, beside its buffers.
  virtual int64_t least_bytes(const WeightUse& use) const = 0;
  // Leaves job_bytes of the device and job_host_bytes of the host's account free. No buffer of a job may be on the
  // device. kMemoryCap, kIo, kCancelled; then what is there is still known, and it may be tried again.
  virtual Status arrange(const WeightUse& use, int64_t job_bytes, int64_t job_host_bytes,
                         const CancelToken* cancel) = 0;
  virtual const WeightSummary& summary() const = 0;
  virtual bool all_resident() const = 0;
  virtual bool streams() const = 0;  // whether layers come and go while the job runs

  // For ops issued from now on, until the next such call. Of what was arranged for. kUnavailable, kIo, kCancelled where
  // they are streamed.
  virtual Result<const LayerWeights*> layer(int64_t i, const CancelToken* cancel) = 0;
  virtual std::span<const float> output_norm() const = 0;
  // Rows of the token embedding, scaled as the model wants.
  virtual Status embed(Ops& ops, std::span<const int32_t> ids, MatView<float> out) = 0;
  // Where the host looks up embedding rows, it does so now: then embed() of the same few ids makes no copies.
  virtual Status look_up(std::span<const int32_t> ids) = 0;
  // logits[rows, n_vocab] of rows that have been through the output norm.
  virtual Status multiply_output(Ops& ops, MatView<const float> normed, MatView<float> logits,
                                 const CancelToken* cancel) = 0;
};

// In the mapping, or in memory for a synthetic model: for ops on the host's memory. `model` outlives it. `counted` is
// what it takes of the host.
std::unique_ptr<WeightSource> mapped_weights(const Model& model, Reservation counted = {});

// The one for this device; all of these outlive it. What it takes of the host's memory is counted in `host`.
Result<std::unique_ptr<WeightSource>> make_weight_source(const Gguf& gguf, const Model& model, Device& device,
                                                         MemoryAccount& host, WeightPlace place);

}  // namespace reform
