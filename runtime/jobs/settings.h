// What a context was begun with, as JSON in its manifest. A resume and an ask use these settings, whatever the flags
// say.
#pragma once

#include <reform/ingest.h>
#include <reform/status.h>

#include <string>

#include "runtime/compress/compress.h"
#include "runtime/compress/head_set.h"
#include "runtime/engine/engine_impl.h"
#include "storage/store/context_store.h"

namespace reform {

struct ContextSettings {
  std::string model_fingerprint, model_name, model_path, architecture;
  std::string policy;
  int64_t chunk_tokens = 0, cache_tokens = 0, sink_tokens = 0, overlap_tokens = 0;
  bool lossy = false;
  std::string encoding;  // of the text, as canonical_encoding() gives it; "": UTF-8
  Heads heads;
  ScoreMaps maps;  // empty in contexts of before there were maps
  int64_t head_dim = 0;
  std::string embedding = "int8";
  std::string kv_type = "f16";  // of the checkpoint
  bool full_depth = false;      // the checkpoints hold the cache of every layer
  bool pages = false;           // chunks keep their keys and values (compress/pages.h); only with full_depth
  bool fp8_products = false;    // both factors of products were rounded to e4m3 while the text was read
};

std::string to_json(const ContextSettings& settings);
Result<ContextSettings> parse_settings(const std::string& json, const std::string& context);
// The same settings, keys that this program does not know included, with another path of the model: "" for an archive,
// which says nothing about this machine.
Result<std::string> with_model_path(const std::string& json, const std::string& path, const std::string& context);

// How the context's chunks are run. `bos` and `saves` are left to an ingest.
CompressOptions compress_options(const ContextSettings& settings, KvView::Type kv_type);

// What its chunks leave beside token spans and rows.
ExtraKinds extra_kinds(const ContextSettings& settings, const ModelShape& shape);
// kUnavailable or kUsage, with what to do: this engine cannot make pages.
Status check_pages_possible(const Engine::Impl& engine);

// Checks that the context's rows have the size its heads give, and that it keeps pages if it says so, which parsing
// cannot know. kCorrupt.
Status check_rows(const ContextSettings& settings, const ContextMeta& meta);
// Checks that the model at `path` is the context's. kWrongModel, with what to do about it in `advice`.
Status check_fingerprint(const ContextSettings& settings, const std::string& context, const std::string& fingerprint,
                         const std::string& path, const std::string& advice);
// Checks everything: that this engine can answer from the context or go on with it. kWrongModel with `advice`, or
// kCorrupt.
Status check_model(const ContextSettings& settings, const ContextMeta& meta, const Engine::Impl& engine,
                   const std::string& advice);

}  // namespace reform
