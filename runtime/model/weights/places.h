// Where a model's weights are while a device with memory of its own runs it: resident there, or streamed through two
// slots from pinned host memory or from the file. Arranged before each job, from what its buffers leave.
//
// One job at a time, and while weights are arranged no buffer of a job may be on the device.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/model/weights/embedding_lookup.h"
#include "runtime/model/weights/plan.h"
#include "runtime/model/weights/stream.h"

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
  int64_t planned_bytes = 0;  // of the device, for all that is there
  double tokens_per_s = 0;    // of one after another, where the output is used; 0: unknown
};

class WeightPlaces {
 public:
  // `model` is as the host knows it, and outlives this as `device` and the host's account do. kMemoryCap where the
  // device is too small for any job. Where all fits, all is brought there now.
  static Result<std::unique_ptr<WeightPlaces>> create(const Gguf& gguf, const Model& model, Device& device,
                                                      MemoryAccount& host, WeightPlace place);
  ~WeightPlaces();

  // What a job takes of the device at least, for its weights.
  int64_t least_bytes(const WeightUse& use) const;
  // Leaves job_bytes of the device and job_host_bytes of the host's account free. kMemoryCap, kIo, kCancelled; then
  // what is there is still known, and it may be tried again.
  Status arrange(const WeightUse& use, int64_t job_bytes, int64_t job_host_bytes, const CancelToken* cancel);
  const WeightSummary& summary() const { return summary_; }
  bool all_resident() const;
  bool streams() const { return stream_ != nullptr; }  // whether layers come and go while the job runs

  // For ops issued from now on, until the next such call. Of what was arranged for.
  Result<const LayerWeights*> layer(int64_t i, const CancelToken* cancel);
  Status embed(Ops& ops, std::span<const int32_t> ids, MatView<float> out);
  Status look_up(std::span<const int32_t> ids);  // Model::look_up()
  // The output matrix in blocks of rows: block i begins at row *first_row.
  int64_t n_output_blocks() const;
  Result<Weight> output_block(int64_t i, int64_t* first_row, const CancelToken* cancel);
  std::span<const float> output_norm() const;

 private:
  struct Unit {
    WeightBlob blob;
    Buffer<std::byte> resident;
    PinnedBuffer on_host;
    bool read = false;  // on_host is filled
    int64_t first_part = -1, n_parts = 0;
  };
  WeightPlaces(const Gguf& gguf, const Model& model, Device& device, MemoryAccount& host, WeightPlace place)
      : gguf_(gguf), model_(model), device_(device), copies_(*device.copies()), host_(host), place_(place) {}

  int64_t n_layers() const { return model_.shape().n_layers; }
  int64_t output_unit() const { return n_layers(); }
  bool tied() const { return model_.output().data == model_.token_embedding().data; }
  int64_t embedding_unit() const { return tied() ? n_layers() : n_layers() + 1; }
  int64_t norm_bytes() const;
  WeightDemand demand(const WeightUse& use) const;
  int64_t part_bytes(const WeightUse& use, int64_t unit) const;
  int64_t job_room(int64_t job_bytes) const;
  Status bring(const WeightLayout& layout, const WeightDemand& demand, const CancelToken* cancel);
  Result<bool> choose_file(const std::vector<int64_t>& units, int64_t job_host_bytes, const CancelToken* cancel);
  Status stream(const std::vector<int64_t>& units, const WeightUse& use, int64_t slot_bytes, bool from_file);
  std::vector<int64_t> streamed_units(const WeightDemand& demand) const;
  bool fits_host(const std::vector<int64_t>& units, int64_t job_host_bytes) const;
  void drop_host(const std::function<bool(int64_t unit)>& unwanted);
  Status fill_host(const std::vector<int64_t>& units, const CancelToken* cancel);
  void summarise(const WeightUse& use, const WeightDemand& demand);

  const Gguf& gguf_;
  const Model& model_;
  Device& device_;
  Copies& copies_;
  MemoryAccount& host_;
  const WeightPlace place_;
  std::vector<Unit> units_;                  // layers, output, token embedding (unless tied)
  Buffer<float> output_norm_;                // always there, below all else
  std::vector<int64_t> stack_;               // resident units, from the bottom
  std::vector<LayerWeights> layers_;         // where they are: of resident ones, and the last place of streamed ones
  std::unique_ptr<EmbeddingLookup> lookup_;  // where the token embedding is not resident
  std::unique_ptr<WeightStream> stream_;
  double read_bytes_per_s_ = 0;  // of the file; 0: unknown
  WeightSummary summary_;
};

}  // namespace reform
