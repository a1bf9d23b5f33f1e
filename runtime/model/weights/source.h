// Where the ops of a job find a model's weights: in the file's mapping, or in a device's own memory.
#pragma once

#include <reform/cancel.h>
#include <reform/report.h>
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

// The part of the model that a job runs: layers [0, last_layer]. With stop_at_states, the last layer runs only as far
// as q, k and v. `output`: the output matrix is used, too.
struct WeightUse {
  int64_t last_layer = 0;
  bool stop_at_states = false;
  bool output = false;
};
WeightUse use_of_all(const ModelShape& shape);

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // The least device memory that a job's weights take, beside its buffers.
  virtual int64_t least_bytes(const WeightUse& use) const = 0;
  // Arranges the weights so that job_bytes of the device and job_host_bytes of the host's account stay free. No buffer
  // of a job may be on the device. After kMemoryCap, kIo or kCancelled the source knows what is where, and the call may
  // be repeated.
  virtual Status arrange(const WeightUse& use, int64_t job_bytes, int64_t job_host_bytes,
                         const CancelToken* cancel) = 0;
  virtual const WeightReport& report() const = 0;  // where the weights are now
  virtual int64_t planned_bytes() const = 0;       // of a device with memory of its own, for all weights there
  virtual bool all_resident() const = 0;
  virtual bool streams() const = 0;  // whether layers come and go while the job runs

  // The layer's weights for ops issued from now on, until the next such call. Only of layers that weights were arranged
  // for. If they are streamed: kUnavailable, kIo, kCancelled.
  virtual Result<const LayerWeights*> layer(int64_t i, const CancelToken* cancel) = 0;
  virtual std::span<const float> output_norm() const = 0;
  // Rows of the token embedding, scaled as the model wants.
  virtual Status embed(Ops& ops, std::span<const int32_t> ids, MatView<float> out) = 0;
  // If embedding rows are looked up on the host, this does it now; embed() of the same few ids then makes no copies.
  virtual Status look_up(std::span<const int32_t> ids) = 0;
  // logits[rows, n_vocab] of rows that the output norm has been applied to.
  virtual Status multiply_output(Ops& ops, MatView<const float> normed, MatView<float> logits,
                                 const CancelToken* cancel) = 0;
};

// The WeightSource for `device`. For a device on the host's memory it is the file's mapping, or a synthetic model's
// weights in memory. All arguments must outlive the source. The host memory it takes is counted in `host`.
Result<std::unique_ptr<WeightSource>> make_weight_source(const Gguf& gguf, const Model& model, Device& device,
                                                         MemoryAccount& host, WeightPlace place);

}  // namespace reform
