// Chooses the attention heads whose states find passages: on sample texts with questions that people ask, which are
// part of reform. Heads for the models of ./dev model are shipped; for any other model, ingest does a short form of
// this.
#pragma once

#include <reform/cancel.h>
#include <reform/engine.h>
#include <reform/ingest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace reform {

struct HeadSearchOptions {
  // How much of the samples is read. More is better, and takes longer. Both limits hold; 0: no limit.
  int64_t n_questions = 0;  // about as many, of whole texts; at least 45
  double minutes = 0;       // about as long as that, but at least 72 questions
  // Layers above this share of the model's depth are not looked at, in (0, 1].
  double depth = 1;

  REFORM_API Status validate() const;
};

// The share of questions whose evidence lies, whole, in the best passages of 512, 1,024, 2,048 and 4,096 tokens.
inline constexpr std::array<int64_t, 4> kHeadRecallTokens = {512, 1024, 2048, 4096};
using HeadRecall = std::array<double, kHeadRecallTokens.size()>;

struct HeadSearchResult {
  int64_t n_layers = 0;                                // of the model
  int64_t n_texts = 0, n_questions = 0, n_tokens = 0;  // of the samples that were read
  HeadRecall words_recall = {};                        // of passages with the question's words, without any head
  struct Layer {
    int64_t layer = 0;
    std::string best_head;  // of the layer, alone
    HeadRecall recall = {};
  };
  std::vector<Layer> layers;
  // Sets up to a depth, judged on questions about texts that were left out as they were chosen.
  struct Depth {
    double share = 0;        // of the layers
    int64_t last_layer = 0;  // the topmost that may have a head
    int64_t n_heads = 0;
    HeadRecall recall = {};
  };
  std::vector<Depth> depths;
  // The sets of the heads file: all questions together chose them, so their recall is that of their depth.
  struct Set {
    std::string name;  // fast, balanced, deep
    int64_t exit_layer = 0;
    std::vector<std::string> heads;
    HeadRecall recall = {};
  };
  std::vector<Set> sets;
  std::string heads_file;  // JSON, as EngineOptions::heads_file names one; heads known for the paper's score stay in it
  // Where ingest finds it. "": it was not kept, as the heads of this model are shipped, or better ones are kept than
  // this search on few questions found, or the depth left no room for the set balanced, or the disk refused.
  std::string kept_at;
  Timings timings;
  MemoryReport memory;
};

// What is computed is kept in the engine's cache directory until the end, so that the same call goes on after
// kCancelled. The progress's tokens are those of the samples.
REFORM_API Result<HeadSearchResult> search_heads(Engine& engine, const HeadSearchOptions& options,
                                                 const IngestProgressCallback& progress = {},
                                                 const CancelToken* cancel = nullptr);

}  // namespace reform
