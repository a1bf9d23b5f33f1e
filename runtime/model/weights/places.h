// Where a model's weights are while a device with memory of its own runs it: resident there, or streamed through two
// slots from pinned host memory or from the file. Before each job they are arranged in what its buffers leave.
//
// One job at a time. While weights are arranged, no buffer of a job may be on the device.
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
#include "runtime/model/weights/source.h"
#include "runtime/model/weights/stream.h"

namespace reform {

class WeightPlaces final : public WeightSource {
 public:
  // `model` has host addresses. All arguments must outlive this. If all weights fit, they are copied to the device now.
  // kMemoryCap: the device is too small for any job.
  static Result<std::unique_ptr<WeightPlaces>> create(const Gguf& gguf, const Model& model, Device& device,
                                                      MemoryAccount& host, WeightPlace place);
  ~WeightPlaces() override;

  int64_t least_bytes(const WeightUse& use) const override;
  Status arrange(const WeightUse& use, int64_t job_bytes, int64_t job_host_bytes, const CancelToken* cancel) override;
  const WeightReport& report() const override { return report_; }
  int64_t planned_bytes() const override { return planned_bytes_; }
  bool all_resident() const override;
  bool streams() const override { return stream_ != nullptr; }

  Result<const LayerWeights*> layer(int64_t i, const CancelToken* cancel) override;
  std::span<const float> output_norm() const override;
  Status embed(Ops& ops, std::span<const int32_t> ids, MatView<float> out) override;
  Status look_up(std::span<const int32_t> ids) override;
  Status multiply_output(Ops& ops, MatView<const float> normed, MatView<float> logits,
                         const CancelToken* cancel) override;

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
  // Block i of the output matrix's rows, which begins at row *first_row.
  int64_t n_output_blocks() const;
  Result<Weight> output_block(int64_t i, int64_t* first_row, const CancelToken* cancel);
  int64_t part_bytes(const WeightUse& use, int64_t unit) const;
  int64_t job_room(int64_t job_bytes) const;
  Status bring(const WeightLayout& layout, const WeightDemand& demand, const CancelToken* cancel);
  Result<bool> choose_file(const std::vector<int64_t>& units, int64_t job_host_bytes, const CancelToken* cancel);
  Status stream(const std::vector<int64_t>& units, const WeightUse& use, int64_t slot_bytes, bool from_file);
  std::vector<int64_t> streamed_units(const WeightDemand& demand) const;
  bool fits_host(const std::vector<int64_t>& units, int64_t job_host_bytes) const;
  void drop_host(const std::function<bool(int64_t unit)>& unwanted);
  Status fill_host(const std::vector<int64_t>& units, const CancelToken* cancel);
  void report_on(const WeightUse& use, const WeightDemand& demand);

  const Gguf& gguf_;
  const Model& model_;
  Device& device_;
  Copies& copies_;
  MemoryAccount& host_;
  const WeightPlace place_;
  std::vector<Unit> units_;                  // layers, output, token embedding (unless tied)
  Buffer<float> output_norm_;                // always on the device, below everything else
  std::vector<int64_t> stack_;               // resident units, from the bottom
  std::vector<LayerWeights> layers_;         // at device addresses; for streamed ones, the last
  std::unique_ptr<EmbeddingLookup> lookup_;  // if the token embedding is not resident
  std::unique_ptr<WeightStream> stream_;
  double read_bytes_per_s_ = 0;  // of the file; 0: unknown
  WeightReport report_{.place = "resident"};
  int64_t planned_bytes_ = 0;
  Reservation made_;  // host memory of a synthetic model's pattern
};

}  // namespace reform
