#include "runtime/model/weights/source.h"

#include <fmt/format.h>

#include "base/try.h"
#include "runtime/model/gguf.h"
#include "runtime/model/weights/places.h"

namespace reform {
namespace {

class MappedWeights final : public WeightSource {
 public:
  MappedWeights(const Model& model, Reservation counted) : model_(model), counted_(std::move(counted)) {
    report_.resident_layers = model.shape().n_layers;
  }

  int64_t least_bytes(const WeightUse&) const override { return 0; }
  Status arrange(const WeightUse&, int64_t, int64_t, const CancelToken*) override { return {}; }
  const WeightReport& report() const override { return report_; }
  int64_t planned_bytes() const override { return 0; }
  bool all_resident() const override { return true; }
  bool streams() const override { return false; }

  Result<const LayerWeights*> layer(int64_t i, const CancelToken*) override { return &model_.layer(i); }
  std::span<const float> output_norm() const override { return model_.output_norm(); }
  Status embed(Ops& ops, std::span<const int32_t> ids, MatView<float> out) override {
    ops.embed(model_.token_embedding(), ids, model_.shape().embedding_scale, out);
    return {};
  }
  Status look_up(std::span<const int32_t>) override { return {}; }
  Status multiply_output(Ops& ops, MatView<const float> normed, MatView<float> logits, const CancelToken*) override {
    ops.matmul(model_.output(), normed, {}, false, logits);
    return {};
  }

 private:
  const Model& model_;
  Reservation counted_;
  WeightReport report_{.place = "resident"};
};

}  // namespace

Result<WeightPlace> parse_weight_place(const std::string& text) {
  if (text.empty() || text == "auto") return WeightPlace::kAuto;
  if (text == "resident") return WeightPlace::kResident;
  if (text == "host") return WeightPlace::kHost;
  if (text == "file") return WeightPlace::kFile;
  return Status{Code::kUsage,
                fmt::format("unknown place for weights '{}'; expected auto, resident, host or file", text)};
}

WeightUse use_of_all(const ModelShape& shape) {
  return {.last_layer = shape.n_layers - 1, .stop_at_states = false, .output = true};
}

Result<std::unique_ptr<WeightSource>> make_weight_source(const Gguf& gguf, const Model& model, Device& device,
                                                         MemoryAccount& host, WeightPlace place) {
  if (device.is_host()) {
    TRY_ASSIGN(auto counted, Reservation::create(host, MemoryCategory::kWeights, gguf.file_bytes()));
    TRY(gguf.materialise());
    return std::unique_ptr<WeightSource>(std::make_unique<MappedWeights>(model, std::move(counted)));
  }
  TRY_ASSIGN(auto places, WeightPlaces::create(gguf, model, device, host, place));
  return std::unique_ptr<WeightSource>(std::move(places));
}

}  // namespace reform
