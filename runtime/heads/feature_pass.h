// Runs the samples through the model's lower layers and compares the states of every head with those of every question.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <functional>
#include <memory>
#include <vector>

#include "base/memory.h"
#include "kernels/device.h"
#include "runtime/compress/heads.h"
#include "runtime/heads/feature_file.h"
#include "runtime/heads/search_text.h"
#include "runtime/model/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/model/transformer.h"
#include "runtime/model/weights/source.h"

namespace reform {

// All heads of layers [0, last_layer], by layer.
Heads all_heads(const ModelShape& shape, int64_t last_layer);

struct FeaturePassOptions {
  int64_t last_layer = 0;  // the topmost that is searched
  int32_t bos = -1;        // >= 0: run before each section
  KvView::Type kv_type = KvView::Type::kF16;
};

// A section runs from an empty cache, so that sections do not depend on each other. Questions are asked over the cache
// of the text's first tokens; a question's states hardly depend on what it is asked over.
class FeaturePass {
 public:
  static constexpr int64_t kAskedOverTokens = 2048;
  static int64_t section_tokens(const ModelShape& shape);
  static OpLimits limits(const ModelShape& shape, const Device& device, const SearchText& text);
  static WeightUse weights(const FeaturePassOptions& options);
  // All memory is allocated here. The site's ops must have limits(). `text` must outlive it.
  static Result<std::unique_ptr<FeaturePass>> create(const Model& model, const Site& site, const SearchText& text,
                                                     const FeaturePassOptions& options);

  using OnProgress = std::function<void(double done)>;
  // Before the first section. on_progress gets the share that is done.
  Status ask_questions(const OnProgress& on_progress, const CancelToken* cancel);
  // The next section that the file lacks. on_progress gets the number of its tokens that are done.
  Status run_section(FeatureFile& file, const OnProgress& on_progress, const CancelToken* cancel);

  // Of what run_section() took, that for comparing and not for running the model.
  double scoring_ms() const { return scoring_ms_; }

 private:
  // Rows of all heads of a layer, in the arrays that Ops::best_cosines() takes.
  struct Rows {
    Buffer<int8_t> values;
    Buffer<float> scales;
  };
  FeaturePass(const Model& model, const Site& site, const SearchText& text, const FeaturePassOptions& options);
  Status allocate(const Site& site);
  Status forward(std::span<const int32_t> ids, const CancelToken* cancel, ForwardHooks hooks);
  void capture(const LayerStates& states, int64_t skip_tokens);
  Status keep_question(int64_t layer, int64_t first_row, int64_t n_rows);
  Status score_layer(int64_t layer, const PassageRange& passages, const CancelToken* cancel);
  Result<std::span<const float>> best_cosines(int64_t layer, int64_t first_row, int64_t n_rows,
                                              const EmbeddingRows& stored, std::span<const int32_t> ends);
  void weigh(std::span<const float> cosines, PassageRange questions, int64_t n_rows, int64_t n_passages);
  int64_t n_rows(const PassageRange& questions) const;

  const Model& model_;
  const ModelShape& shape_;
  Device& device_;
  Ops* const ops_;
  const SearchText& text_;
  const FeaturePassOptions options_;
  const int64_t heads_per_layer_;
  std::vector<int64_t> first_rows_;    // [n_questions + 1] of each question, among all questions' rows
  std::vector<PassageRange> batches_;  // of questions
  std::unique_ptr<Transformer> transformer_;
  KvCache cache_;
  double scoring_ms_ = 0;
  Rows rows_;                    // of one layer and one call; the device's
  Rows questions_;               // [n_layers][all questions' rows]; the host's
  Rows batch_;                   // of a batch's questions, if ops do not see the host's memory
  Buffer<std::byte> host_rows_;  // a question's, if the host does not see them
  Buffer<float> best_;           // [passages of a section, heads_per_layer, rows of a batch]
  Buffer<std::byte> host_best_;
  Buffer<Feature> features_;  // [heads_per_layer, n_questions, passages of a section]
};

}  // namespace reform
